// SPDX-License-Identifier: MPL-2.0

package decide

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

func TestTripReason(t *testing.T) {
	rules := config.Default().Policy().Rules
	expression, err := config.Parse([]byte(`rules: [{name: E, expression: "cpu > 0.4", for: 1s}]`))
	require.NoError(t, err)

	baseline, err := config.Parse([]byte(`rules: [{name: B, signal: cpu, threshold: 100m, baseline: {times: 3}, for: 10m}]`))
	require.NoError(t, err)

	for name, test := range map[string]struct {
		event policy.Event
		rule  *policy.Rule
		want  string
	}{
		"threshold":  {policy.EventTrip, &rules[0], "cpu 1000m above 550m for 10m"},
		"credit":     {policy.EventTrip, &rules[2], "cpu 1000m has used its credit of 10m above 550m"},
		"expression": {policy.EventTrip, &expression.Policy().Rules[0], "cpu > 0.4 for 1s"},
		"baseline":   {policy.EventTrip, &baseline.Policy().Rules[0], "cpu 1000m above 630m for 10m (3 times its usual level, at least 100m)"},
		"not probed": {policy.EventRetrip, &rules[0], "the probe could not measure"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, tripReason(&policy.Decision{
				Event: test.event, Hold: policy.Hold{Rule: test.rule.Name},
				Rules: []policy.RuleStatus{{Rule: test.rule, State: policy.StateFiring, Value: 1, Threshold: 0.63}},
			}))
		})
	}

	for rule, want := range map[*policy.Rule]string{
		&rules[0]:                     "the probe measured the breach of SpegelHighCPU again: cpu 803m, above 550m",
		&expression.Policy().Rules[0]: "the probe measured the breach of E again: cpu > 0.4",
	} {
		assert.Equal(t, want, retripReason(&policy.Breach{Rule: rule, Value: 0.803}))
	}

	assert.Equal(t, "adopted from an earlier process", tripReason(&policy.Decision{Hold: policy.Hold{Rule: "Gone"}}))
}

// TestReason_IsThatOfTheTrip: a step down that prolongs the hold is no trip.
func TestReason_IsThatOfTheTrip(t *testing.T) {
	rules := config.Default().Policy().Rules
	decision := policy.Decision{
		Held: true, Event: policy.EventTrip, Hold: policy.Hold{Rule: rules[0].Name, Since: 1, Until: 2},
		Rules: []policy.RuleStatus{{Rule: &rules[0], State: policy.StateFiring, Value: 1.8}},
	}

	var r reason

	r.update(&decision, false, &Override{})
	require.Equal(t, "cpu 1800m above 550m for 10m", r.tripped)

	decision.Event, decision.Hold.Until = policy.EventStepDown, 3
	decision.Rules[0].State, decision.Rules[0].Value = policy.StateOK, 0.3
	r.update(&decision, false, &Override{})
	assert.Equal(t, "cpu 1800m above 550m for 10m", r.tripped)

	decision.Event, decision.Hold.Since = policy.EventRetrip, 4
	r.update(&decision, true, &Override{})
	assert.Equal(t, "the probe could not measure", r.tripped)
}

// TestReason_OfARelease: it says what was measured.
func TestReason_OfARelease(t *testing.T) {
	for name, test := range map[string]struct {
		notInForce, probing bool
		override            Override
		want                string
	}{
		"quiet":        {want: "every enforced rule was quiet for ceiling.releaseAfter"},
		"probe":        {probing: true, want: "the probe measured no breach"},
		"not in force": {notInForce: true, want: "the ceiling of the hold was not in force, and no enforced rule was above its threshold for ceiling.releaseAfter"},
		"person":       {override: Override{Kind: Pause, Text: "paused by anna"}, want: "paused by anna"},
	} {
		t.Run(name, func(t *testing.T) {
			var r reason

			r.update(&policy.Decision{Event: policy.EventRelease, NotInForce: test.notInForce}, test.probing, &test.override)
			assert.Equal(t, test.want, r.released)
		})
	}
}
