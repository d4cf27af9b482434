// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
)

// TestStandstill_ExplainsLeases: a lease that has expired while the guard did not run does not show that the policy is stuck.
func TestStandstill_ExplainsLeases(t *testing.T) {
	const (
		lease   = 30 * time.Second
		stopped = 10 * time.Minute
		resumed = time.Hour
		suspend = "no decision on the newest samples yet: the guard did not run for 50m"
	)

	for _, test := range []struct {
		name string
		// renewed is the newest sample with a decision, and hang how long the last pass before the standstill took.
		renewed, hang, now time.Duration
		want               string
	}{
		{"first pass after it", stopped, 0, resumed, suspend},
		{"a second later", stopped, 0, resumed + time.Second, suspend},
		{"a lease later", stopped, 0, resumed + lease + 1, errStuck.Error()},
		{"stuck before it", stopped - lease - 1, 0, resumed, errStuck.Error()},
		{"a decision after it", resumed + 1, 0, resumed + lease, errStuck.Error()},
		{"a pass that hung", stopped, resumed - stopped, resumed, errStuck.Error()},
	} {
		t.Run(test.name, func(t *testing.T) {
			var s standstill

			s.begin(stopped, lease)
			s.end(stopped + test.hang)

			for now := resumed; now <= test.now; now += time.Second {
				s.begin(now, lease)
				s.end(now)
			}

			err := s.explain(func(at time.Duration) bool { return at > test.renewed+lease }, test.now, lease)
			require.ErrorIs(t, err, errStale)
			assert.Contains(t, err.Error(), test.want)
		})
	}
}

// TestCeilingController_ExplainsAStandstill: the enforcer may run before the first decision after it.
func TestCeilingController_ExplainsAStandstill(t *testing.T) {
	e := newEnforcing(t, enforceDoc, enforcetest.Unlimited, func(e *enforcing) {
		before := boottime.Now() - time.Minute

		e.c.Leases = &enforce.Leases{}
		e.c.Leases.Renew(targetID, before, minLease)

		e.c.begin()
		e.c.enforcer.pause.end(before)
	})

	e.desire(500, "SpegelHighCPU", "cpu 1803m")
	assert.Contains(t, e.condition(resources.ReasonNoDecisions).Message, targetID+": no decision on the newest samples yet: the guard did not run for 1m")

	e.c.Leases.Renew(targetID, boottime.Now(), time.Hour)
	e.status(resources.CeilingApplied)
	e.condition(resources.ReasonOK)
}
