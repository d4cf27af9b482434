// SPDX-License-Identifier: MPL-2.0

//go:build linux

package doctor

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

const mebibyte = 1 << 20

// What a memory limit is made of: headroom times what was used, so that the garbage collector does not run all the time close to
// GOMEMLIMIT, rounded up to a multiple of limitStep, and not less than the default of spegel's chart.
const (
	headroom  = 1.5
	limitStep = 64 * mebibyte
	minLimit  = 128 * mebibyte
	// goShare is the share of a memory limit that GOMEMLIMIT should be: the rest is for what the Go runtime does not count.
	goShare = 0.9
)

// Limits are what a target's owner limits it to, and what it used.
type Limits struct {
	// Cores of the CPU limit, and Memory, the memory limit in bytes; 0 for none.
	Cores  float64
	Memory uint64
	// Peak is the highest memory usage since the start of the container, page cache included, in bytes; 0 if it is unavailable. Used is
	// Peak without the page cache of now: how much there was at that time is not known.
	Peak, Used uint64
}

// Check warns of a target without a limit and says how to set one.
func (l Limits) Check(id string) Check {
	found := []string{"no CPU limit", "no memory limit"}

	if l.Cores > 0 {
		found[0] = "CPU limit " + config.SignalCPU.Format(l.Cores)
	}

	if l.Memory > 0 {
		found[1] = "memory limit " + humanize.IBytes(l.Memory)
	}

	if l.Peak > 0 {
		found = append(found, fmt.Sprintf("memory.peak %s, without the page cache of now %s", humanize.IBytes(l.Peak), humanize.IBytes(l.Used)))
	}

	check := Check{Name: "limits", State: resources.CheckOK, Message: id + ": " + strings.Join(found, ", ")}

	if l.Cores == 0 || l.Memory == 0 {
		check.State, check.Fix = resources.CheckWarning, l.fix()
	}

	return check
}

// fix returns the lines of a HelmRelease that set the missing limits, and what GOMEMLIMIT is with them.
func (l Limits) fix() string {
	var (
		limits, notes []string
		requests      string
		memory        = l.Memory
	)

	if l.Cores == 0 {
		// Without a request Kubernetes would reserve the limit, on each node.
		requests = "requests: {cpu: 100m}, "
		limits = append(limits, "cpu: "+config.Default().Ceiling.CPU.String())
	}

	switch {
	case memory > 0:
	case l.Peak == 0:
		notes = append(notes, "memory.peak is unavailable: set limits.memory to 1.5 times what it uses")
	default:
		memory = suggested(l.Used)
		limits = append(limits, fmt.Sprintf("memory: %dMi", memory/mebibyte))
		notes = append(notes, "memory is 1.5 times the peak without the page cache of now, rounded up: set more if the peak had less cache")
	}

	if memory > 0 {
		notes = append(notes, fmt.Sprintf("spegel's chart sets GOMEMLIMIT to the whole memory limit, 90 %% of it would be %dMiB",
			uint64(goShare*float64(memory))/mebibyte))
	}

	if len(limits) > 0 {
		set := fmt.Sprintf("set in the HelmRelease of spegel: spec: {values: {resources: {%slimits: {%s}}}}", requests, strings.Join(limits, ", "))
		notes = append([]string{set}, notes...)
	}

	return strings.Join(notes, "; ")
}

// suggested returns a memory limit in bytes for a usage in bytes.
func suggested(used uint64) uint64 {
	return max(minLimit, (uint64(headroom*float64(used))+limitStep-1)/limitStep*limitStep)
}
