//go:build linux

package controllers

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func decision(states ...policy.State) policy.Decision {
	var d policy.Decision

	for i, state := range states {
		d.Rules = append(d.Rules, policy.RuleStatus{Rule: &config.Default().Policy().Rules[i], State: state, Value: 1, Unavailable: "why"})
	}

	return d
}

func TestTargetStatus(t *testing.T) {
	held := func(d policy.Decision) policy.Decision {
		d.Held, d.Hold, d.ReleasesIn = true, policy.Hold{Rule: "SpegelHighCPU"}, 1500*time.Millisecond

		return d
	}
	applied := resources.CeilingStatusSpec{State: resources.CeilingApplied, ReadBack: "50001 100000"}

	for _, test := range []struct {
		name     string
		decision policy.Decision
		ceiling  resources.CeilingStatusSpec
		state    string
		rule     string
	}{
		{"nothing yet", policy.Decision{}, resources.CeilingStatusSpec{}, resources.StateOK, "-"},
		{"quiet", decision(policy.StateOK, policy.StateOK), resources.CeilingStatusSpec{}, resources.StateOK, "-"},
		{"second pending", decision(policy.StateOK, policy.StatePending), resources.CeilingStatusSpec{}, resources.StatePending, "SpegelHighNetworkTX"},
		{"pending beats unavailable", decision(policy.StateUnavailable, policy.StatePending), resources.CeilingStatusSpec{}, resources.StatePending, "SpegelHighNetworkTX"},
		{"firing without ceiling", held(decision(policy.StateFiring, policy.StateOK)), resources.CeilingStatusSpec{}, resources.StateFiring, "SpegelHighCPU"},
		{"throttled", held(decision(policy.StateFiring, policy.StateOK)), applied, resources.StateThrottled, "SpegelHighCPU"},
		{"releasing", held(decision(policy.StateReleasing, policy.StateOK)), applied, resources.StateReleasing, "SpegelHighCPU"},
		{"unavailable under a ceiling is no calm", held(decision(policy.StateUnavailable, policy.StateOK)), applied, resources.StateThrottled, "SpegelHighCPU"},
	} {
		status := targetStatus("id", &workload{decision: test.decision}, test.ceiling)
		assert.Equal(t, test.state, status.State, test.name)
		assert.Equal(t, test.rule, status.Rule, test.name)
	}

	assert.Equal(t, "500m", targetStatus("id", &workload{decision: held(decision(policy.StateFiring))}, applied).Ceiling)

	// Why there is none.
	for ceiling, want := range map[resources.CeilingStatusSpec]string{
		{State: resources.CeilingYielded, OwnerLimit: "80000 100000"}:                 `somebody else changed cpu.max to "80000 100000"`,
		{State: resources.CeilingOwnerLower, OwnerLimit: "30000 100000"}:              `the owner's own limit "30000 100000" is as low`,
		{State: resources.CeilingTerminating}:                                         "the container terminates",
		{State: resources.CeilingObserved, LastError: "cpu.max is not writable: why"}: "cpu.max is not writable: why",
	} {
		status := targetStatus("id", &workload{decision: held(decision(policy.StateFiring))}, ceiling)
		assert.Equal(t, resources.StateFiring, status.State)
		assert.Contains(t, status.Message, want)
	}
}

func TestWhatKeepsTheGuardFromWorkingComesFirst(t *testing.T) {
	for reason, want := range map[string]string{
		resources.ReasonNoCgroup2: resources.StateNoCgroup2, resources.ReasonNotPermitted: resources.StateNoPermission,
		resources.ReasonCRI: resources.StateNoCRI, resources.ReasonNoTarget: resources.StateNoTarget,
		resources.ReasonNoController: resources.StateNoControl, resources.ReasonThreaded: resources.StateNoControl,
		resources.ReasonOK: resources.StateOK, resources.ReasonFrozen: resources.StateOK, resources.ReasonNoLock: resources.StateOK,
	} {
		status := resources.GuardStatusSpec{State: resources.StateOK}
		overrule(&status, &resources.ConditionSpec{Reason: reason, Message: "m"})
		assert.Equal(t, want, status.State)
	}

	status := resources.GuardStatusSpec{State: resources.StateThrottled, Targets: 1}
	overrule(&status, &resources.ConditionSpec{Reason: resources.ReasonCRI, Message: "m"})
	assert.Equal(t, resources.StateThrottled, status.State, "with a target the loop goes on without the runtime")
}

func TestDisplay(t *testing.T) {
	assert.Equal(t, "1803m", config.SignalCPU.Format(1.8031))
	assert.Equal(t, "1.4 MB/s", config.SignalNetworkTX.Format(1.4e6))
	assert.Equal(t, "0 B/s", config.SignalNetworkTX.Format(-1))
	assert.Equal(t, "500m", displayCeiling("50001 100000"))
	assert.Equal(t, "-", displayCeiling("max 100000"))
	assert.Equal(t, "-", displayCeiling(""))
}

func TestRate(t *testing.T) {
	assert.Equal(t, resources.ProvenanceUnavailable, rate(0, 5, 1, true).Provenance, "one reading is no rate")
	assert.InDelta(t, 2.5, rate(5, 10, 2, false).Value, 1e-9)
	assert.Zero(t, rate(10, 5, 2, false).Value, "reset")
	assert.Zero(t, rate(5, 10, 0, false).Value, "no time passed")
}
