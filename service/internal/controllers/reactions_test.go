// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
)

func TestReactions_MeasureTheFirstWrite(t *testing.T) {
	hold := decide.DesiredCeiling{Millicores: 500, Rule: "R", Since: 100 * time.Second}
	other := func(change func(*decide.DesiredCeiling)) *decide.DesiredCeiling {
		d := hold
		change(&d)

		return &d
	}

	const since, written = 50 * time.Second, 103 * time.Second

	for name, test := range map[string]struct {
		// before are the desired ceilings of earlier passes that wrote nothing.
		before  []*decide.DesiredCeiling
		started time.Duration
		desired *decide.DesiredCeiling
		want    time.Duration
	}{
		"first write":                     {desired: &hold, want: 3 * time.Second},
		"container of before the trip":    {started: 60 * time.Second, desired: &hold, want: 3 * time.Second},
		"container of after the trip":     {started: 101 * time.Second, desired: &hold},
		"trip of before the process":      {desired: other(func(d *decide.DesiredCeiling) { d.Since = 49 * time.Second })},
		"override":                        {desired: other(func(d *decide.DesiredCeiling) { d.Rule = decide.RuleOverride })},
		"waited for a profile":            {before: []*decide.DesiredCeiling{nil, nil}, desired: &hold, want: 3 * time.Second},
		"second attempt":                  {before: []*decide.DesiredCeiling{&hold}, desired: &hold},
		"mode was observe":                {before: []*decide.DesiredCeiling{other(func(d *decide.DesiredCeiling) { d.Observe = true })}, desired: &hold},
		"another hold before":             {before: []*decide.DesiredCeiling{other(func(d *decide.DesiredCeiling) { d.Since-- })}, desired: &hold, want: 3 * time.Second},
		"a throttle before, none written": {before: []*decide.DesiredCeiling{other(func(d *decide.DesiredCeiling) { d.Rule = decide.RuleOverride })}, desired: &hold, want: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var observed []float64

			m := reactions{
				observer: prometheus.ObserverFunc(func(seconds float64) { observed = append(observed, seconds) }),
				since:    since, last: map[string]time.Duration{},
			}

			for _, desired := range test.before {
				m.measure(targetID, test.started, nil, desired)
			}

			actions := []resources.GuardActionSpec{{Action: resources.ActionApply, Clock: written}}
			m.measure(targetID, test.started, actions, test.desired)
			assert.Equal(t, test.want, actions[0].Reaction)
			assert.Equal(t, test.want > 0, len(observed) == 1)
		})
	}
}

// TestCeilingController_MeasuresNoReactionToAnEarlierTrip: nothing was late when the ceiling was written.
func TestCeilingController_MeasuresNoReactionToAnEarlierTrip(t *testing.T) {
	reactionsOf := func(e *enforcing, count int) []time.Duration {
		require.Eventually(t, func() bool { return len(e.actions()) == count }, patience, time.Millisecond)

		var reactions []time.Duration

		for _, action := range e.actions() {
			if action.Action == resources.ActionApply {
				reactions = append(reactions, action.Reaction)
			}
		}

		return reactions
	}

	t.Run("another container", func(t *testing.T) {
		e := newEnforcing(t, enforceDoc, enforcetest.Unlimited, nil)
		e.condition(resources.ReasonOK) // a trip of before the controller has no reaction
		e.desire(500, "R", "r")
		e.status(resources.CeilingApplied)
		e.remove(resources.NewTarget(targetID))
		e.gone(resources.NewCeilingStatus(targetID))

		e.node.Create(cgroupPath, enforcetest.Unlimited, 8)
		put(e.suite, resources.NewTarget(targetID), func(spec *resources.TargetSpec) {
			spec.ContainerID, spec.Cgroup, spec.CgroupInode, spec.PID, spec.StartedClock = "c2", cgroupPath, 8, 1, boottime.Now()
		})
		e.status(resources.CeilingApplied)

		got := reactionsOf(e, 3)
		require.Len(t, got, 2)
		assert.Positive(t, got[0])
		assert.Zero(t, got[1])
	})

	t.Run("owner's limit raised", func(t *testing.T) {
		e := newEnforcing(t, enforceDoc, "30000 100000", nil)
		e.condition(resources.ReasonOK)
		e.desire(500, "R", "r")
		e.status(resources.CeilingOwnerLower)
		e.cgroup.Write("200000 100000")
		e.c.Wake()
		e.status(resources.CeilingApplied)
		assert.Equal(t, []time.Duration{0}, reactionsOf(e, 1))
	})
}
