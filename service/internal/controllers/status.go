// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/cosi-project/runtime/pkg/resource"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
)

// severity orders the states of a target; the worst is shown.
var severity = []string{
	resources.StateOK, resources.StateUnavailable, resources.StatePending, resources.StateReleasing, resources.StateFiring, resources.StateProbing, resources.StateThrottled,
}

// guardStatus is the one-line answer: the worst target, a pause, and what keeps the guard from working.
func guardStatus(
	latest map[resource.ID]*resources.TargetStatsSpec, known map[resource.ID]*workload, inputs policyInputs, inForce overrides, mode config.Mode,
) resources.GuardStatusSpec {
	status := worstStatus(latest, known, inputs.ceilings)

	if pause, ok := inForce[resources.OverridePauseID]; ok {
		// A ceiling that cannot be released is in force in spite of the pause.
		isStuck := stuck(inputs.ceilings[status.Target].CeilingStatusSpec)
		if !isStuck {
			status.Message = pause.Text
		}

		if !isStuck || status.State != resources.StateThrottled {
			status.State = resources.StatePaused
		}
	}

	status.Mode, status.Targets = string(mode), int64(len(latest))

	for i := range inputs.conditions {
		applyCondition(&status, &inputs.conditions[i])
	}

	return status
}

// worstStatus is the status of the target in the worst state.
func worstStatus(
	latest map[resource.ID]*resources.TargetStatsSpec, known map[resource.ID]*workload, ceilings map[resource.ID]ceilingInput,
) resources.GuardStatusSpec {
	worst := withoutFigures(resources.StateNoTarget, "")
	rank := -1

	for _, id := range slices.Sorted(maps.Keys(latest)) {
		status := withoutFigures(resources.StateUnavailable, id)
		status.Message = "the first decision on the target has failed: see the log"

		if w, ok := known[id]; ok {
			status = targetStatus(id, w.Decision(), &w.desired.last, w.Override(), ceilings[id].CeilingStatusSpec)
		}

		if r := slices.Index(severity, status.State); r > rank {
			worst, rank = status, r
		}
	}

	return worst
}

// withoutFigures returns a status in whose columns nothing is known.
func withoutFigures(state string, target resource.ID) resources.GuardStatusSpec {
	return resources.GuardStatusSpec{State: state, Target: target, CPU: "-", TX: "-", Ceiling: "-", Rule: "-"}
}

// targetStatus is the status of one target.
func targetStatus(
	id resource.ID, decision *policy.Decision, desired *decide.DesiredCeiling, override *decide.Override, ceiling resources.CeilingStatusSpec,
) resources.GuardStatusSpec {
	status := withoutFigures(resources.StateOK, id)
	status.ReleasesIn = desired.ReleasesIn

	applyRules(&status, decision.Rules)

	if override.Kind != "" {
		status.Message = override.Text
	}

	// A ceiling that cannot be released is in force although none is desired.
	if ceiling.InForce() {
		status.Ceiling = displayCeiling(ceiling.ReadBack)
		status.Message = cmp.Or(ceiling.LastError, status.Message)
	}

	if desired.Probing {
		status.State, status.Rule = resources.StateProbing, desired.Rule

		return status
	}

	if desired.None() || !ceiling.InForce() {
		status.Message = cmp.Or(withoutCeiling(ceiling), status.Message)

		if status.State == resources.StateFiring && desired.Observe && status.Rule == desired.Rule {
			status.Message = cmp.Or(status.Message, status.Rule+" fires in mode observe: it leads to no ceiling")
		}

		if stuck(ceiling) && limits(decision, cgroup.Cores(ceiling.ReadBack)) {
			status.State = resources.StateThrottled
		}

		return status
	}

	byRule := desired.Rule != decide.RuleOverride
	status.Rule = desired.Rule

	switch {
	case byRule && status.State == resources.StateOK && !decision.Throttled:
		status.State = resources.StateReleasing
	case byRule && !limits(decision, cgroup.Cores(ceiling.ReadBack)):
		// The state stays that of the rule.
		status.Message = cmp.Or(status.Message, "the ceiling of "+status.Ceiling+" does not limit it: it uses "+status.CPU)
	default:
		status.State = resources.StateThrottled
	}

	status.Message = cmp.Or(status.Message, policy.RestartAdvice(desired.FailedProbes))

	return status
}

// stuck reports whether a ceiling is in force that cannot be changed or released.
func stuck(ceiling resources.CeilingStatusSpec) bool {
	return ceiling.InForce() && ceiling.LastError != ""
}

// applyRules shows the rule in the worst state, and the values of cpu and networkTx as rules see them.
func applyRules(status *resources.GuardStatusSpec, rules []policy.RuleStatus) {
	for i := range rules {
		rule := rules[i].Rule
		state := resources.StateOK

		switch rules[i].State {
		case policy.StateUnavailable:
			state, status.Message = resources.StateUnavailable, rule.Name+": "+rules[i].Unavailable
		case policy.StatePending:
			state = resources.StatePending
		case policy.StateFiring:
			state = resources.StateFiring
		}

		if slices.Index(severity, state) > slices.Index(severity, status.State) {
			status.State, status.Rule = state, rule.Name
		}

		switch {
		case state == resources.StateUnavailable:
		case rule.Signal == config.SignalCPU:
			status.CPU = rule.Signal.Format(rules[i].Value)
		case rule.Signal == config.SignalNetworkTX:
			status.TX = rule.Signal.Format(rules[i].Value)
		}
	}
}

// withoutCeiling says why a desired ceiling is not in force.
func withoutCeiling(ceiling resources.CeilingStatusSpec) string {
	switch {
	case ceiling.LastError != "":
		return ceiling.LastError
	case ceiling.State == resources.CeilingYielded:
		return fmt.Sprintf("an external change set cpu.max to %q: it is the owner's limit now (ceiling.conflict)", ceiling.OwnerLimit)
	case ceiling.State == resources.CeilingOwnerLower:
		return fmt.Sprintf("the owner's limit %q is as low as the ceiling", ceiling.OwnerLimit)
	case ceiling.State == resources.CeilingTerminating:
		return "the container terminates: it gets no ceiling"
	default:
		return ""
	}
}

// applyCondition lets what keeps the guard from working precede the state of its targets.
func applyCondition(status *resources.GuardStatusSpec, condition *resources.ConditionSpec) {
	switch condition.Reason {
	case resources.ReasonNoCgroup2:
		status.State, status.Message = resources.StateNoCgroup2, condition.Message
	case resources.ReasonCRI:
		if status.Targets == 0 {
			status.State = resources.StateNoCRI
		}

		status.Message = condition.Message
	case resources.ReasonNoTarget:
		if status.Targets == 0 {
			status.State, status.Message = resources.StateNoTarget, condition.Message
		}
	case resources.ReasonNotPermitted:
		status.State, status.Message = resources.StateNoPermission, condition.Message
	case resources.ReasonNoController, resources.ReasonThreaded:
		status.State, status.Message = resources.StateNoControl, condition.Message
	case resources.ReasonBadConfig, resources.ReasonRestartRequired, resources.ReasonFrozen, resources.ReasonBadJournal, resources.ReasonNoLock,
		resources.ReasonNoDecisions, resources.ReasonNotAdopted, resources.ReasonWriteError:
		status.Message = condition.Message
	}
}

// displayCeiling writes a cpu.max for people: 500m.
func displayCeiling(cpuMax string) string {
	cores := cgroup.Cores(cpuMax)
	if cores == 0 {
		return "-"
	}

	return config.SignalCPU.Format(cores)
}
