// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
)

func decision(states ...policy.State) policy.Decision {
	var d policy.Decision

	for i, state := range states {
		d.Rules = append(d.Rules, policy.RuleStatus{Rule: &config.Default().Policy().Rules[i], State: state, Value: 1, Unavailable: "why"})
	}

	return d
}

// statusOf is the status of a target without an override.
func statusOf(d policy.Decision, ceiling resources.CeilingStatusSpec) resources.GuardStatusSpec {
	desired := decide.Arbitrate(&decide.Case{Decision: &d}, &decide.Settings{Wall: boottime.Wall})

	return targetStatus("id", &d, &desired, &decide.Override{}, ceiling)
}

func TestTargetStatus_FollowsTheRules(t *testing.T) {
	held := func(d policy.Decision) policy.Decision {
		d.Held, d.Hold, d.ReleasesIn = true, policy.Hold{Rule: "SpegelHighCPU", Millicores: 500}, 1500*time.Millisecond

		return d
	}
	applied := resources.CeilingStatusSpec{State: resources.CeilingApplied, AppliedAtClock: 1, ReadBack: "50001 100000"}
	probing := held(decision(policy.StateFiring, policy.StateOK))
	probing.Hold.Probing = true

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
		{"probing", probing, resources.CeilingStatusSpec{}, resources.StateProbing, "SpegelHighCPU"},
		{"unavailable under a ceiling is not quiet", held(decision(policy.StateUnavailable, policy.StateOK)), applied, resources.StateThrottled, "SpegelHighCPU"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status := statusOf(test.decision, test.ceiling)
			assert.Equal(t, test.state, status.State)
			assert.Equal(t, test.rule, status.Rule)
		})
	}

	assert.Equal(t, "500m", statusOf(held(decision(policy.StateFiring)), applied).Ceiling)
}

// TestTargetStatus_IsNotThrottledFarBelowTheCeiling: a ceiling that a rule on traffic led to may be no limit.
func TestTargetStatus_IsNotThrottledFarBelowTheCeiling(t *testing.T) {
	applied := resources.CeilingStatusSpec{State: resources.CeilingApplied, AppliedAtClock: 1, ReadBack: "50001 100000"}

	for _, test := range []struct {
		name      string
		cores     float64
		throttled bool
		tx        policy.State
		state     string
	}{
		{"far below", 0.28, false, policy.StateFiring, resources.StateFiring},
		{"far below and not for long enough", 0.28, false, policy.StatePending, resources.StatePending},
		{"far below on average, but throttled", 0.28, true, policy.StateFiring, resources.StateThrottled},
		{"at the ceiling", 0.49, false, policy.StateFiring, resources.StateThrottled},
		{"just written", 1.8, false, policy.StateFiring, resources.StateThrottled},
		{"far below and quiet", 0.28, false, policy.StateReleasing, resources.StateReleasing},
		{"quiet, but throttled", 0.28, true, policy.StateReleasing, resources.StateThrottled},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := decision(policy.StateOK, test.tx)
			d.Held, d.Hold, d.Throttled = true, policy.Hold{Rule: "SpegelHighNetworkTX", Millicores: 500}, test.throttled
			d.Rules[0].Value = test.cores

			status := statusOf(d, applied)
			assert.Equal(t, test.state, status.State)
			assert.Equal(t, []string{"500m", "SpegelHighNetworkTX"}, []string{status.Ceiling, status.Rule})

			if test.state == resources.StateFiring {
				assert.Equal(t, "the ceiling of 500m does not limit it: it uses 280m", status.Message)
			}
		})
	}
}

func TestTargetStatus_SaysWhyThereIsNoCeiling(t *testing.T) {
	held := decision(policy.StateFiring)
	held.Held, held.Hold = true, policy.Hold{Rule: "SpegelHighCPU", Millicores: 500}

	for ceiling, want := range map[resources.CeilingStatusSpec]string{
		{State: resources.CeilingYielded, OwnerLimit: "80000 100000"}:                 `an external change set cpu.max to "80000 100000"`,
		{State: resources.CeilingOwnerLower, OwnerLimit: "30000 100000"}:              `the owner's limit "30000 100000" is as low`,
		{State: resources.CeilingTerminating}:                                         "the container terminates",
		{State: resources.CeilingObserved, LastError: "cpu.max is not writable: why"}: "cpu.max is not writable: why",
	} {
		t.Run(want, func(t *testing.T) {
			status := statusOf(held, ceiling)
			assert.Equal(t, resources.StateFiring, status.State)
			assert.Contains(t, status.Message, want)
		})
	}
}

// TestTargetStatus_NamesTheModeObserve: without it nobody would see why a rule that fires has no ceiling.
func TestTargetStatus_NamesTheModeObserve(t *testing.T) {
	const message = "SpegelHighCPU fires in mode observe: it leads to no ceiling"

	observed := resources.CeilingStatusSpec{State: resources.CeilingObserved}

	for _, test := range []struct {
		name              string
		state             policy.State
		document, observe bool
		ceiling           resources.CeilingStatusSpec
		want              string
	}{
		{"of the rule", policy.StateFiring, false, true, observed, message},
		{"of the document", policy.StateFiring, true, false, observed, message},
		{"releasing", policy.StateReleasing, false, true, observed, ""},
		{"enforced, not written yet", policy.StateFiring, false, false, resources.CeilingStatusSpec{}, ""},
		{"another reason", policy.StateFiring, false, true, resources.CeilingStatusSpec{State: resources.CeilingTerminating}, "the container terminates: it gets no ceiling"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := decision(test.state)
			d.Held, d.Hold = true, policy.Hold{Rule: "SpegelHighCPU", Millicores: 500, Observe: test.observe}

			desired := decide.Arbitrate(&decide.Case{Decision: &d}, &decide.Settings{Wall: boottime.Wall, Observe: test.document})
			assert.Equal(t, test.want, targetStatus("id", &d, &desired, &decide.Override{}, test.ceiling).Message)
		})
	}

	t.Run("another rule leads to the hold", func(t *testing.T) {
		d := decision(policy.StateFiring)
		d.Held, d.Hold = true, policy.Hold{Rule: "SpegelHighNetworkTX", Millicores: 500, Observe: true}

		desired := decide.Arbitrate(&decide.Case{Decision: &d}, &decide.Settings{Wall: boottime.Wall})
		assert.Empty(t, targetStatus("id", &d, &desired, &decide.Override{}, observed).Message)
	})
}

func TestApplyCondition_PrecedesTheTargets(t *testing.T) {
	for reason, want := range map[string]string{
		resources.ReasonNoCgroup2: resources.StateNoCgroup2, resources.ReasonNotPermitted: resources.StateNoPermission,
		resources.ReasonCRI: resources.StateNoCRI, resources.ReasonNoTarget: resources.StateNoTarget,
		resources.ReasonNoController: resources.StateNoControl, resources.ReasonThreaded: resources.StateNoControl,
		resources.ReasonOK: resources.StateOK, resources.ReasonFrozen: resources.StateOK, resources.ReasonNoLock: resources.StateOK, resources.ReasonNoDecisions: resources.StateOK,
	} {
		t.Run(reason, func(t *testing.T) {
			status := resources.GuardStatusSpec{State: resources.StateOK}
			applyCondition(&status, &resources.ConditionSpec{Reason: reason, Message: "m"})
			assert.Equal(t, want, status.State)
		})
	}

	status := resources.GuardStatusSpec{State: resources.StateThrottled, Targets: 1}
	applyCondition(&status, &resources.ConditionSpec{Reason: resources.ReasonCRI, Message: "m"})
	assert.Equal(t, resources.StateThrottled, status.State, "with a target the loop goes on without the runtime")
}

func TestTargetStatus_ShowsTheOverride(t *testing.T) {
	applied := resources.CeilingStatusSpec{State: resources.CeilingApplied, AppliedAtClock: 1, ReadBack: "20001 100000"}
	status := func(d policy.Decision, override decide.Override, ceiling resources.CeilingStatusSpec) resources.GuardStatusSpec {
		desired := decide.Arbitrate(&decide.Case{Decision: &d, Overrides: decide.Overrides{Target: override}}, &decide.Settings{})

		return targetStatus("id", &d, &desired, &override, ceiling)
	}

	throttled := status(policy.Decision{}, decide.Override{Kind: decide.Throttle, Millicores: 200, Text: "throttled by anna"}, applied)
	assert.Equal(t, resources.StateThrottled, throttled.State)
	assert.Equal(t, decide.RuleOverride, throttled.Rule)
	assert.Equal(t, "200m", throttled.Ceiling)
	assert.Equal(t, "throttled by anna", throttled.Message)

	released := status(decision(policy.StateFiring), decide.Override{Kind: decide.Release, Text: "released by anna"}, resources.CeilingStatusSpec{})
	assert.Equal(t, resources.StateFiring, released.State)
	assert.Equal(t, "released by anna", released.Message)
}

func TestDisplayCeiling(t *testing.T) {
	for cpuMax, want := range map[string]string{"50001 100000": "500m", "max 100000": "-", "": "-"} {
		t.Run(cpuMax, func(t *testing.T) { assert.Equal(t, want, displayCeiling(cpuMax)) })
	}
}

// TestGuardStatus_ShowsACeilingThatCannotBeReleased: it limits its target in spite of a pause.
func TestGuardStatus_ShowsACeilingThatCannotBeReleased(t *testing.T) {
	pause := decide.Override{Kind: decide.Pause, Text: "paused by anna"}
	failed := resources.CeilingStatusSpec{
		State: resources.CeilingFailed, AppliedAtClock: 1, ReadBack: "50001 100000", LastError: "failed to write cpu.max: read-only file system",
	}

	status := func(ceiling resources.CeilingStatusSpec, conditions ...resources.ConditionSpec) resources.GuardStatusSpec {
		d := decision(policy.StateFiring)
		w := &workload{Workload: decide.NewWorkload(policy.New(config.Default().Policy(), policy.Options{}), 0)}
		w.Update("c1", &decide.Overrides{Node: pause})
		w.desired.last = decide.Arbitrate(&decide.Case{Decision: &d, Overrides: decide.Overrides{Node: pause}}, &decide.Settings{})

		return guardStatus(
			map[resource.ID]*resources.TargetStatsSpec{"id": {}}, map[resource.ID]*workload{"id": w},
			policyInputs{ceilings: map[resource.ID]ceilingInput{"id": {CeilingStatusSpec: ceiling}}, conditions: conditions},
			overrides{resources.OverridePauseID: pause}, config.ModeEnforce,
		)
	}

	got := status(failed)
	assert.Equal(t, []string{resources.StateThrottled, "500m", failed.LastError}, []string{got.State, got.Ceiling, got.Message})

	got = status(resources.CeilingStatusSpec{})
	assert.Equal(t, []string{resources.StatePaused, "-", "paused by anna"}, []string{got.State, got.Ceiling, got.Message})

	for _, reason := range []string{resources.ReasonWriteError, resources.ReasonNotAdopted} {
		assert.Equal(t, "m", status(resources.CeilingStatusSpec{}, resources.ConditionSpec{Reason: reason, Message: "m"}).Message, reason)
	}
}

// TestTargetStatus_ACeilingThatCannotBeReleasedLimits, or not.
func TestTargetStatus_ACeilingThatCannotBeReleasedLimits(t *testing.T) {
	failed := resources.CeilingStatusSpec{State: resources.CeilingFailed, AppliedAtClock: 1, ReadBack: "50001 100000", LastError: "why"}

	for cores, want := range map[float64]string{0.1: resources.StateOK, 0.5: resources.StateThrottled} {
		d := decision(policy.StateOK)
		d.Rules[0].Value = cores

		got := statusOf(d, failed)
		assert.Equal(t, []string{want, "500m", "why"}, []string{got.State, got.Ceiling, got.Message}, "%g cores", cores)
	}
}

// TestGuardStatus_ShowsATargetWithoutADecision: a panic in the first decision leaves no workload.
func TestGuardStatus_ShowsATargetWithoutADecision(t *testing.T) {
	latest := map[resource.ID]*resources.TargetStatsSpec{targetID: {}}
	status := guardStatus(latest, nil, policyInputs{}, overrides{}, config.ModeEnforce)

	assert.Equal(t, resources.StateUnavailable, status.State)
	assert.Equal(t, targetID, status.Target)
	assert.Contains(t, status.Message, "decision")
}
