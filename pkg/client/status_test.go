// SPDX-License-Identifier: MPL-2.0

package client_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestStatus_Worst(t *testing.T) {
	target := func(id string, cores float64, ceiling *resources.CeilingStatusSpec) client.TargetStatus {
		return client.TargetStatus{ID: id, TargetStatsSpec: resources.TargetStatsSpec{CPU: resources.Measured(cores)}, Ceiling: ceiling}
	}
	applied := &resources.CeilingStatusSpec{State: resources.CeilingApplied, AppliedAtClock: 1, ReadBack: "50000 100000"}
	observed := &resources.CeilingStatusSpec{State: resources.CeilingApplied, AppliedAtClock: 1, ReadBack: "max 100000"}

	for _, test := range []struct {
		name    string
		targets []client.TargetStatus
		want    string
	}{
		{"no target", nil, ""},
		{"greatest usage", []client.TargetStatus{target("a", 0.1, nil), target("b", 0.2, nil)}, "b"},
		{"ceiling before usage", []client.TargetStatus{target("a", 0.1, applied), target("b", 0.2, nil)}, "a"},
		{"ceiling not in force", []client.TargetStatus{target("a", 0.1, observed), target("b", 0.2, nil)}, "b"},
		{"two ceilings", []client.TargetStatus{target("a", 0.1, applied), target("b", 0.2, applied)}, "b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, client.Status{Targets: test.targets}.Worst().ID)
		})
	}
}

func TestTargetStatus_LoudestRule(t *testing.T) {
	rule := func(name, state string) client.Rule {
		return client.Rule{Name: name, RuleStatusSpec: resources.RuleStatusSpec{State: state}}
	}

	for name, c := range map[string]struct {
		target client.TargetStatus
		want   string
	}{
		"all are ok":   {client.TargetStatus{Rules: []client.Rule{rule("A", "ok")}}, ""},
		"one fires":    {client.TargetStatus{Rules: []client.Rule{rule("A", "pending"), rule("B", "firing"), rule("C", "releasing")}}, "B"},
		"unavailable":  {client.TargetStatus{Rules: []client.Rule{rule("A", "ok"), rule("B", "unavailable")}}, "B"},
		"of a ceiling": {client.TargetStatus{Rules: []client.Rule{rule("A", "firing")}, Ceiling: &resources.CeilingStatusSpec{Rule: "Z"}}, "Z"},
		"a person's ceiling": {
			client.TargetStatus{Rules: []client.Rule{rule("A", "firing")}, Ceiling: &resources.CeilingStatusSpec{}}, "A",
		},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, c.target.LoudestRule()) })
	}
}
