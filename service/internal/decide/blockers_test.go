// SPDX-License-Identifier: MPL-2.0

package decide

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

func TestBlocker(t *testing.T) {
	rules := config.Default().Policy().Rules
	expression, err := config.Parse([]byte(`rules: [{name: E, expression: "cpu > 0.4", for: 1s}]`))
	require.NoError(t, err)

	for name, test := range map[string]struct {
		status policy.RuleStatus
		want   string
	}{
		"ok":                 {policy.RuleStatus{Rule: &rules[0], State: policy.StateOK}, ""},
		"releasing":          {policy.RuleStatus{Rule: &rules[0], State: policy.StateReleasing}, ""},
		"unavailable":        {policy.RuleStatus{Rule: &rules[1], State: policy.StateUnavailable, Unavailable: "why"}, "SpegelHighNetworkTX is unavailable: why"},
		"pending":            {policy.RuleStatus{Rule: &rules[2], State: policy.StatePending, Value: 1}, "SpegelCPUCredit is pending: 1000m is above 550m"},
		"pending expression": {policy.RuleStatus{Rule: &expression.Policy().Rules[0], State: policy.StatePending, Value: 1, Threshold: 1}, "E is pending: cpu > 0.4"},
		"pending in a dip": {
			policy.RuleStatus{Rule: &rules[0], State: policy.StatePending, Value: 0.3, Threshold: 0.55}, "SpegelHighCPU is pending: 300m, was above 550m",
		},
		"firing":     {policy.RuleStatus{Rule: &rules[0], State: policy.StateFiring, Value: 1, Release: 0.385}, "SpegelHighCPU is firing: 1000m, quiet at 385m"},
		"expression": {policy.RuleStatus{Rule: &expression.Policy().Rules[0], State: policy.StateFiring, Value: 1}, "E is firing: cpu > 0.4"},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, blocker(test.status)) })
	}
}

func TestBlockers(t *testing.T) {
	held := policy.Decision{Held: true, Hold: policy.Hold{Rule: "R", Millicores: 500}}
	throttled, quiet := held, held
	throttled.Limited, throttled.ThrottledRatio = true, 0.42
	quiet.ReleasesIn, quiet.Quiet = time.Minute, true

	for name, test := range map[string]struct {
		decision policy.Decision
		want     []string
	}{
		"throttled": {throttled, []string{"the workload is throttled in 42 % of the enforcement periods"}},
		"quiet":     {quiet, []string{"every enforced rule is quiet, for less than ceiling.releaseAfter so far"}},
		"none":      {held, nil},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, blockers(&Case{Decision: &test.decision}, &DesiredCeiling{Millicores: 500, Rule: "R"}, nil))
		})
	}
}
