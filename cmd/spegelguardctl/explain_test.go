// SPDX-License-Identifier: MPL-2.0

package main

import (
	"math"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

func TestExplainRows_ShowWhyNoCeilingIsDesired(t *testing.T) {
	rows := new(app).explainRows(&client.Explanation{Targets: []client.TargetExplanation{
		{ID: "undecided"},
		{ID: "released", Desired: &resources.DesiredCeilingSpec{Reason: "every enforced rule was quiet for ceiling.releaseAfter"}},
	}})

	if assert.Len(t, rows, 2) {
		assert.Equal(t, []string{"released", "ceiling", "none", "", "", "", "every enforced rule was quiet for ceiling.releaseAfter"}, rows[1].Cells)
	}
}

// TestCeilingRow_ShowsAProbe: it follows for a throttled workload, and for one between two thresholds. The blockers say which.
func TestCeilingRow_ShowsAProbe(t *testing.T) {
	row := (&app{now: time.Now}).ceilingRow(client.TargetExplanation{ID: "a/b/c", Desired: &resources.DesiredCeilingSpec{
		CeilingMillicores: 500, ReleasesIn: 3 * time.Minute, ProbesIn: 2 * time.Minute, Blockers: []string{"A is firing: 350m, quiet at 280m"},
	}})

	assert.Equal(t, "a probe follows in 2m if nothing changes; A is firing: 350m, quiet at 280m", row.Cells[6])
}

func TestExplanationChanged(t *testing.T) {
	status := func(spec resources.GuardStatusSpec) *resources.GuardStatus {
		r := resources.NewGuardStatus(resources.GuardStatusID)
		*r.TypedSpec() = spec

		return r
	}
	before := resources.GuardStatusSpec{State: resources.StateThrottled, Ceiling: "500m", ReleasesIn: time.Minute, CPU: "500m", Message: "it uses 123m"}

	for _, test := range []struct {
		name  string
		after func(*resources.GuardStatusSpec)
		want  bool
	}{
		{"a second", func(s *resources.GuardStatusSpec) { s.ReleasesIn -= time.Second; s.CPU = "501m" }, false},
		{"state", func(s *resources.GuardStatusSpec) { s.State = resources.StateProbing }, true},
		{"ceiling", func(s *resources.GuardStatusSpec) { s.Ceiling = "-" }, true},
		{"usage in the message", func(s *resources.GuardStatusSpec) { s.Message = "it uses 98m" }, false},
		{"message", func(s *resources.GuardStatusSpec) { s.Message = "paused" }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			after := before
			test.after(&after)

			assert.Equal(t, test.want, explanationChanged(state.Event{Type: state.Updated, Old: status(before), Resource: status(after)}))
		})
	}

	assert.True(t, explanationChanged(state.Event{Type: state.Created, Resource: status(before)}))
	assert.True(t, explanationChanged(state.Event{Type: state.Updated, Resource: resources.NewRuleStatus("a"), Old: resources.NewRuleStatus("a")}))
}

// TestRuleRow_ShowsABaseline: the usual level, or how much of the past is known.
func TestRuleRow_ShowsABaseline(t *testing.T) {
	const day = 24 * time.Hour

	for name, test := range map[string]struct {
		rule resources.RuleStatusSpec
		want string
	}{
		"learning": {resources.RuleStatusSpec{Signal: "networkTx", State: "ok", Learned: 5 * time.Hour, Learn: day}, "learning: 5h of 24h"},
		"known":    {resources.RuleStatusSpec{Signal: "networkTx", State: "ok", Learned: day, Learn: day, Usual: 210e3}, "usual level 210 kB/s"},
		"pending": {
			resources.RuleStatusSpec{Signal: "cpu", State: "pending", Learned: day, Learn: day, Usual: 0.21, TripsIn: time.Minute},
			"trips in 1m, usual level 210m",
		},
		"none":     {resources.RuleStatusSpec{Signal: "cpu", State: "ok"}, ""},
		"no level": {resources.RuleStatusSpec{Signal: "cpu", State: "ok", Learned: day, Learn: day, Usual: math.NaN(), HasCredit: true, Credit: -1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, (&app{now: time.Now}).ruleRow("a/b/c", client.Rule{Name: "R", RuleStatusSpec: test.rule}).Cells[6])
		})
	}
}

// TestRuleRow_NamesTheModeObserve of a rule that fires: the column MODE is only in -o wide.
func TestRuleRow_NamesTheModeObserve(t *testing.T) {
	for _, test := range []struct{ state, mode, want string }{
		{"firing", "observe", "mode observe: the rule leads to no ceiling"},
		{"firing", "enforce", ""},
		{"pending", "observe", ""},
		{"releasing", "observe", ""},
	} {
		t.Run(test.state+" "+test.mode, func(t *testing.T) {
			rule := client.Rule{Name: "R", RuleStatusSpec: resources.RuleStatusSpec{Signal: "cpu", State: test.state, Mode: test.mode}}

			assert.Equal(t, test.want, (&app{now: time.Now}).ruleRow("a/b/c", rule).Cells[6])
		})
	}
}

// TestRuleRow_ShowsValueAndThreshold: a value that is unavailable is not 0, and an expression fires when it is true.
func TestRuleRow_ShowsValueAndThreshold(t *testing.T) {
	for name, test := range map[string]struct {
		rule resources.RuleStatusSpec
		want []string
	}{
		"known":       {resources.RuleStatusSpec{Signal: "cpu", State: "firing", Value: 1.8, Threshold: 0.4}, []string{"1800m", "400m"}},
		"unavailable": {resources.RuleStatusSpec{Signal: "cpu", State: "unavailable", Threshold: 0.4}, []string{"", "400m"}},
		"true":        {resources.RuleStatusSpec{Signal: "expression", State: "firing", Value: 1}, []string{"true", "true"}},
		"false":       {resources.RuleStatusSpec{Signal: "expression", State: "ok"}, []string{"false", "true"}},
		"no value":    {resources.RuleStatusSpec{Signal: "cpu", State: "ok", Value: math.NaN(), Threshold: math.Inf(1)}, []string{"", ""}},
		"unavailable expression": {
			resources.RuleStatusSpec{Signal: "expression", State: "unavailable"}, []string{"", "true"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, (&app{now: time.Now}).ruleRow("a/b/c", client.Rule{Name: "R", RuleStatusSpec: test.rule}).Cells[3:5])
		})
	}
}

// TestUsage_ShowsWhatWasMeasured: a node decides what it sends.
func TestUsage_ShowsWhatWasMeasured(t *testing.T) {
	for name, test := range map[string]struct {
		usage resources.Usage
		want  string
	}{
		"nothing": {resources.Usage{CoreSeconds: 1}, ""},
		"all": {
			resources.Usage{Over: 2 * time.Second, CoreSeconds: 1, TXBytes: 2000, AllocatedBytes: 1000, AllocatedOver: time.Minute},
			"CPU 500m, TX 1.0 kB/s, allocation 1.0 kB/min",
		},
		"without allocation": {resources.Usage{Over: time.Second, CoreSeconds: 1}, "CPU 1000m, TX 0 B/s"},
		"no values":          {resources.Usage{Over: time.Second, CoreSeconds: math.NaN(), TXBytes: -1}, ""},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, usage(test.usage)) })
	}
}

// TestRows_WithoutClock: a node whose clock is not set knows no time of day, and the age of 1970 is not shown.
func TestRows_WithoutClock(t *testing.T) {
	a := &app{now: time.Now}
	override := client.Override{Target: "node", OverrideSpec: resources.OverrideSpec{Kind: resources.OverridePause, By: resources.Person{Subject: "CN=anna"}}}
	guard := client.Guard{State: resources.StatePaused, Message: "paused by CN=anna"}

	rows := a.statusRows(&client.Status{Guard: guard, Overrides: []client.Override{override}})
	assert.Empty(t, rows[0].Cells[7], "SINCE")
	assert.Contains(t, rows[0].Cells, "pause by CN=anna")

	rows = a.explainRows(&client.Explanation{
		Guard: guard, Overrides: []client.Override{override}, Conditions: []client.Condition{{Name: "api"}},
		Targets: []client.TargetExplanation{{
			ID: "a/b/c", Rules: []client.Rule{{Name: "R"}}, Verdict: &resources.VerdictSpec{},
			Desired: &resources.DesiredCeilingSpec{CeilingMillicores: 500, HoldUntilClock: time.Hour},
		}},
	})
	require.Len(t, rows, 6)
	assert.Equal(t, "requested by CN=anna", rows[2].Cells[6])

	for _, row := range rows {
		assert.Empty(t, row.Cells[5], "SINCE of %s", row.Cells[1])
	}

	assert.Empty(t, eventItem("n", client.Event{Kind: client.EventState}).Rows[0].Cells[0], "AT")
	assert.Empty(t, historyRows(&guardv1alpha1.History{Series: []*guardv1alpha1.Series{{Points: []*guardv1alpha1.Point{{}}}}})[0].Cells[1], "AT")

	cells := overrideRows("pause", &guardv1alpha1.OverrideResult{Overrides: []*guardv1alpha1.Override{{For: durationpb.New(time.Minute)}}})[0].Cells
	assert.Equal(t, []string{"1m", ""}, []string{cells[3], cells[6]}, "FOR and UNTIL")
}
