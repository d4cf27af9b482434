// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/duration"
)

// standstill is the last long time in which the guard did not run: the node was suspended, the process stopped or its cgroup frozen.
// Leases expire in it, and the enforcer may run again before the sampling does. Times are CLOCK_BOOTTIME.
type standstill struct {
	// passed is the end of the last pass of the enforcer.
	passed time.Duration
	// from and to are zero for none.
	from, to time.Duration
}

// begin notes that a pass begins. Passes are at most an interval or enforce.CheckInterval apart, which is less than half a lease.
func (s *standstill) begin(now, lease time.Duration) {
	if s.passed > 0 && now-s.passed > lease/2 {
		s.from, s.to = s.passed, now
	}
}

// end notes that a pass has ended. One that hangs is no standstill.
func (s *standstill) end(now time.Duration) { s.passed = now }

// explain returns why there is no decision on a target whose lease has expired. Expired reports whether it had at another time. After
// a standstill the policy has a lease's time before it counts as stuck.
func (s *standstill) explain(expired func(at time.Duration) bool, now, lease time.Duration) error {
	if s.to == 0 || now-s.to > lease || expired(s.from) || !expired(s.to) {
		return errStuck
	}

	return fmt.Errorf("%w yet: the guard did not run for %s, because the node was suspended or the process stopped", errStale, duration.Format(s.to-s.from))
}
