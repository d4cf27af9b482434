// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/dustin/go-humanize"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// story is one run of the incident.
type story struct {
	spegel, bystander *node.Pod
	guard             *node.Guard

	start     time.Time
	runsAway  bool
	seen      map[string]bool
	original  string
	ceiling   string
	last      reading
	free      average
	limited   average
	after     string
	throttled [2]uint64 // nr_throttled and nr_periods under the ceiling
	guardCost string
}

// reading has the kernel's counters at one moment.
type reading struct {
	at                  time.Time
	usageUsec, tx       uint64
	periods, nThrottled uint64
	cpuMax              string
}

// average has the totals of a phase.
type average struct {
	seconds, coreSeconds, bytes float64
}

func (a average) cores() float64 { return a.coreSeconds / max(a.seconds, 1e-9) }
func (a average) tx() string     { return humanize.Bytes(uint64(a.bytes/max(a.seconds, 1e-9))) + "/s" }

func (s *story) play(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errors.New("the loop did not close in time"))
	defer cancel()

	var err error

	if s.last, err = s.read(); err != nil {
		return err
	}

	s.start, s.seen, s.original = time.Now(), map[string]bool{}, s.last.cpuMax

	fmt.Printf("%5s  %9s  %11s  %-14s  %-12s  %-12s  %s\n", "time", "CPU", "TX", "cpu.max", "HighCPU", "HighTX", "guard")

	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()

	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}

		if err := s.runAwayWhenDue(ctx); err != nil {
			return err
		}

		done, err := s.tick(ctx)
		if err != nil {
			return err
		}

		if done {
			return nil
		}
	}
}

// runAwayWhenDue starts the load of both pods, which ends by itself after the burst.
func (s *story) runAwayWhenDue(ctx context.Context) error {
	if s.runsAway || time.Since(s.start) < calmBefore {
		return nil
	}

	s.runsAway = true

	s.event(fmt.Sprintf("spegel runs away: it advertises 1,053 blobs without end for the next %s; so does the bystander", burst))

	for from, to := range map[*node.Pod]*node.Pod{s.spegel: s.bystander, s.bystander: s.spegel} {
		err := from.Steer(ctx, map[string]any{
			"mode": "periodic", "on": burst, "off": time.Hour, "blobs": 1053, "workers": 2, "peers": []string{to.IP + ":5001"},
		})
		if err != nil {
			return err
		}
	}

	return nil
}

func (s *story) event(text string) {
	fmt.Printf("%4.0fs  >>> %s\n", time.Since(s.start).Seconds(), text)
}

// tick reads the counters, prints them and adds them to the phase. It runs once a second.
func (s *story) tick(ctx context.Context) (bool, error) {
	now, err := s.read()
	if err != nil {
		return false, err
	}

	seconds := now.at.Sub(s.last.at).Seconds()
	step := average{
		seconds:     seconds,
		coreSeconds: float64(now.usageUsec-s.last.usageUsec) / 1e6,
		bytes:       float64(now.tx - s.last.tx),
	}

	status, err := s.guard.Status(ctx)
	if err != nil {
		return false, err
	}

	rules, err := s.rules(ctx)
	if err != nil {
		return false, err
	}

	if err := s.actions(ctx); err != nil {
		return false, err
	}

	fmt.Printf("%4.0fs  %6.2f c  %11s  %-14s  %-12s  %-12s  %s\n", time.Since(s.start).Seconds(), step.cores(), step.tx(), now.cpuMax,
		rules["SpegelHighCPU"], rules["SpegelHighNetworkTX"], status.State)

	s.collect(step, now, status.State)
	s.last = now

	released := s.ceiling != "" && now.cpuMax == s.original && status.State == resources.StateOK
	if !released {
		return false, nil
	}

	s.after = now.cpuMax
	s.guardCost, err = s.cost()

	return true, err
}

// collect adds a second to its phase. A second that belongs to two phases is ignored.
func (s *story) collect(step average, now reading, state string) {
	var phase *average

	switch {
	case now.cpuMax != s.last.cpuMax:
		return
	case now.cpuMax == s.original && (state == resources.StatePending || state == resources.StateFiring) && step.cores() > 0.4:
		phase = &s.free
	case now.cpuMax != s.original && state == resources.StateThrottled && now.nThrottled > s.last.nThrottled:
		phase = &s.limited
		s.ceiling = now.cpuMax
		s.throttled[0] += now.nThrottled - s.last.nThrottled
		s.throttled[1] += now.periods - s.last.periods
	default:
		return
	}

	phase.seconds += step.seconds
	phase.coreSeconds += step.coreSeconds
	phase.bytes += step.bytes
}

func (s *story) rules(ctx context.Context) (map[string]string, error) {
	list, err := safe.StateListAll[*resources.RuleStatus](ctx, s.guard.Client.COSI)
	if err != nil {
		return nil, err
	}

	states := map[string]string{}

	for rule := range list.All() {
		id, spec := rule.Metadata().ID(), rule.TypedSpec()
		text := spec.State

		if spec.State == "pending" && spec.TripsIn > 0 {
			text = fmt.Sprintf("pending %.0fs", spec.TripsIn.Seconds())
		}

		for _, name := range []string{"SpegelHighCPU", "SpegelHighNetworkTX"} {
			if id[max(0, len(id)-len(name)):] == name {
				states[name] = text
			}
		}
	}

	return states, nil
}

// actions prints the actions of the last second.
func (s *story) actions(ctx context.Context) error {
	list, err := safe.StateListAll[*resources.GuardAction](ctx, s.guard.Client.COSI)
	if err != nil {
		return err
	}

	for action := range list.All() {
		if id := action.Metadata().ID(); !s.seen[id] {
			s.seen[id] = true
			spec := action.TypedSpec()
			s.event(fmt.Sprintf("guard: %s, %s (%s): cpu.max %q -> %q", spec.Action, spec.Rule, spec.Reason, spec.Before, spec.After))
		}
	}

	return nil
}

// cost returns the CPU time and the peak memory of the guard, which must be running.
func (s *story) cost() (string, error) {
	usec, err := node.CPUStat(s.guard.CgroupPath, "usage_usec")
	if err != nil {
		return "", err
	}

	peak, err := node.MemoryPeak(s.guard.CgroupPath)
	if err != nil {
		return "", err
	}

	return fmt.Sprintf("%.1f core-seconds on the emulated processor, %s peak memory", float64(usec)/1e6, humanize.Bytes(peak)), nil
}

func (s *story) read() (reading, error) {
	r := reading{at: time.Now()}

	var errs [5]error

	r.usageUsec, errs[0] = node.CPUStat(s.spegel.Cgroup, "usage_usec")
	r.periods, errs[1] = node.CPUStat(s.spegel.Cgroup, "nr_periods")
	r.nThrottled, errs[2] = node.CPUStat(s.spegel.Cgroup, "nr_throttled")
	r.cpuMax, errs[3] = node.CPUMax(s.spegel.Cgroup)
	r.tx, errs[4] = s.spegel.TXBytes()

	return r, errors.Join(errs[:]...)
}

// sumUp prints the results. It returns an error if the loop did not close.
func (s *story) sumUp() error {
	bystander, err := node.CPUMax(s.bystander.Cgroup)
	if err != nil {
		return err
	}

	throttledUsec, err := node.CPUStat(s.spegel.Cgroup, "throttled_usec")
	if err != nil {
		return err
	}

	fmt.Println()
	fmt.Println("Results, from the kernel's counters:")
	fmt.Printf("  running away    %.2f cores, %s TX (cpu.max %q)\n", s.free.cores(), s.free.tx(), s.original)
	fmt.Printf("  under ceiling   %.2f cores, %s TX (cpu.max %q), %d of %d periods throttled for %.1f s\n",
		s.limited.cores(), s.limited.tx(), s.ceiling, s.throttled[0], s.throttled[1], float64(throttledUsec)/1e6)
	fmt.Printf("  after release   cpu.max %q, the original value\n", s.after)
	fmt.Printf("  bystander       cpu.max %q, unchanged\n", bystander)
	fmt.Printf("  the guard       %s\n", s.guardCost)

	switch {
	case s.limited.seconds == 0 || s.free.seconds == 0:
		return errors.New("a phase is missing")
	case s.limited.cores() > 0.55 || s.limited.cores() >= s.free.cores():
		return errors.New("usage exceeded the ceiling")
	case s.after != s.original || bystander != s.original:
		return errors.New("cpu.max was not restored")
	}

	fmt.Println("The loop closed: detected, throttled, released, restored.")

	return nil
}
