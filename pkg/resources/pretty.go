// SPDX-License-Identifier: MPL-2.0

package resources

import (
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// Pretty has values of a spec as text for people, as pretty_size of Talos' own resources: talosctl prints columns as they are in the
// YAML. It is in the YAML that is sent only; programs read the values.
type Pretty map[string]string

// none is a value that there is not, or that is unavailable.
const none = "-"

// pretty formats a reading; a dash for one that is unavailable.
func (r Reading) pretty(format func(float64) string) string {
	if !r.Known() {
		return none
	}

	return format(r.Value)
}

// PrettyBytes formats an amount of bytes: 50 MiB.
func PrettyBytes(value float64) string { return humanize.IBytes(uint64(max(0, value))) }

// PrettyMillicores formats a ceiling: 500m; empty for none.
func PrettyMillicores(value int64) string {
	if value == 0 {
		return ""
	}

	return fmt.Sprintf("%dm", value)
}

func orNone(text string) string {
	if text == "" {
		return none
	}

	return text
}

// Describe sets Pretty.
func (s *TargetStatsSpec) Describe() {
	s.Pretty = &Pretty{
		"cpu": s.CPU.pretty(policy.SignalCPU.Format), "throttled": s.ThrottledRatio.pretty(policy.SignalThrottled.Format),
		"memory": s.MemoryBytes.pretty(PrettyBytes), "tx": s.TXBytesPerSecond.pretty(policy.SignalNetworkTX.Format),
		"rx":         s.RXBytesPerSecond.pretty(policy.SignalNetworkRX.Format),
		"allocation": s.Application.AllocBytesPerSecond.pretty(policy.SignalAllocation.Format),
	}
}

// Describe sets Pretty.
func (s *NodeStatsSpec) Describe() {
	s.Pretty = &Pretty{
		"blobs": s.ContentBlobs.pretty(compare.Blobs.Format), "diskUsed": s.DiskUsedRatio.pretty(compare.Disk.Format),
		"pods": s.Pods.pretty(compare.Pods.Format), "tx": s.TXBytesPerSecond.pretty(compare.NodeTX.Format),
		"rx":     s.RXBytesPerSecond.pretty(compare.NodeTX.Format),
		"nfs":    s.NFSOperationsPerSecond.pretty(func(v float64) string { return fmt.Sprintf("%.1f/s", v) }),
		"nfsRTT": s.NFSRoundTripSeconds.pretty(compare.NFSRTT.Format),
	}
}

// Describe sets Pretty.
func (s *RuleStatusSpec) Describe() {
	signal := policy.Signal(s.Signal)
	value, threshold, tripsIn := signal.Format(s.Value), signal.Format(s.Threshold), none

	if s.Signal == SignalExpression {
		threshold = "true"
	}

	if s.State == string(policy.StateUnavailable) {
		value = none
	}

	if s.TripsIn > 0 {
		tripsIn = duration.Format(s.TripsIn)
	}

	s.Pretty = &Pretty{"value": value, "threshold": threshold, "tripsIn": tripsIn}
}

// Describe sets Pretty.
func (s *DesiredCeilingSpec) Describe() {
	s.Pretty = &Pretty{"ceiling": orNone(PrettyMillicores(s.CeilingMillicores))}
}

// Describe sets Pretty.
func (s *OverrideSpec) Describe() {
	s.Pretty = &Pretty{"ceiling": orNone(PrettyMillicores(s.CeilingMillicores))}
}

// Describe sets Pretty.
func (s *CeilingStatusSpec) Describe() {
	s.Pretty = &Pretty{
		"ownerLimit": orNone(PrettyCPUMax(s.OwnerLimit)), "applied": orNone(PrettyCPUMax(s.Applied)), "readBack": orNone(PrettyCPUMax(s.ReadBack)),
	}
}

// Describe sets Pretty.
func (s *GuardActionSpec) Describe() {
	s.Pretty = &Pretty{"change": orNone(s.Change())}
}

// Change returns what the action did to cpu.max: max -> 500m; empty if it did not touch it.
func (s *GuardActionSpec) Change() string {
	if s.Before == "" && s.After == "" {
		return ""
	}

	return orNone(PrettyCPUMax(s.Before)) + " -> " + orNone(PrettyCPUMax(s.After))
}

// CPUMax reads cpu.max as the kernel prints it and returns its limit in cores; 0 without a limit, and false for another text.
func CPUMax(text string) (cores float64, ok bool) {
	var quota, period uint64

	if _, err := fmt.Sscanf(text, "max %d", &period); err == nil {
		return 0, true
	}

	if _, err := fmt.Sscan(text, &quota, &period); err != nil || period == 0 {
		return 0, false
	}

	return float64(quota) / float64(period), true
}

// PrettyCPUMax formats cpu.max as the kernel prints it: max, or 500m for "50000 100000". Another text stays as it is.
func PrettyCPUMax(text string) string {
	cores, ok := CPUMax(text)

	switch {
	case !ok:
		return text
	case cores == 0:
		return "max"
	default:
		return policy.Cores.Format(cores)
	}
}
