// SPDX-License-Identifier: MPL-2.0

//go:build linux

package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/fleettest"
)

const target = "spegel/spegel-2x7k2/registry"

// throttled opens the incident's throttled node.
func throttled(t *testing.T) (*client.Node, *fleettest.Guard) {
	t.Helper()

	context, _, _, guards := serve(t)

	fleet, err := client.OpenContext(context, patient(client.Options{Nodes: []string{guards[1].Address}}))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, fleet.Close()) })

	return fleet.Nodes()[0], guards[1]
}

func TestNode_StatusHasReadingsRulesAndCeiling(t *testing.T) {
	node, guard := throttled(t)

	require.NoError(t, safe.StateModify(t.Context(), guard.State, resources.NewTargetStats(target), func(r *resources.TargetStats) error {
		r.TypedSpec().MemoryBytes = resources.Warming()

		return nil
	}))

	got, err := node.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, resources.StateThrottled, got.State)
	assert.Equal(t, "v0.0.0-dev", got.Version)
	require.Len(t, got.Targets, 1)
	assert.Equal(t, target, got.Targets[0].ID)
	assert.InDelta(t, 1.8, got.Targets[0].CPU.Value, 1e-9)
	assert.False(t, got.Targets[0].MemoryBytes.Known())
	require.Len(t, got.Targets[0].Rules, 3)
	assert.Equal(t, []string{"SpegelHighCPU", "SpegelHighMemoryAllocation"}, []string{got.Targets[0].Rules[0].Name, got.Targets[0].Rules[1].Name})
	assert.InDelta(t, 0.50001, client.CeilingCores(got.Targets[0].Ceiling), 1e-9)
}

func TestCeilingCores(t *testing.T) {
	for name, test := range map[string]struct {
		ceiling *resources.CeilingStatusSpec
		want    float64
	}{
		"none":        {nil, 0},
		"in force":    {&resources.CeilingStatusSpec{AppliedAtClock: 1, ReadBack: "20001 100000"}, 0.20001},
		"not lifted":  {&resources.CeilingStatusSpec{State: resources.CeilingFailed, AppliedAtClock: 1, ReadBack: "20001 100000"}, 0.20001},
		"observed":    {&resources.CeilingStatusSpec{State: resources.CeilingObserved, ReadBack: "20001 100000"}, 0},
		"unlimited":   {&resources.CeilingStatusSpec{AppliedAtClock: 1, ReadBack: "max 100000"}, 0},
		"not read":    {&resources.CeilingStatusSpec{AppliedAtClock: 1}, 0},
		"zero period": {&resources.CeilingStatusSpec{AppliedAtClock: 1, ReadBack: "1 0"}, 0},
	} {
		t.Run(name, func(t *testing.T) { assert.InDelta(t, test.want, client.CeilingCores(test.ceiling), 1e-9) })
	}
}

func TestNode_ExplainHasWhatACeilingWaitsFor(t *testing.T) {
	node, guard := throttled(t)

	verdict := resources.NewVerdict(target)
	verdict.TypedSpec().Outcome = "contained"
	require.NoError(t, guard.State.Create(t.Context(), verdict))

	got, err := node.Explain(t.Context(), target)
	require.NoError(t, err)
	assert.Equal(t, resources.StateThrottled, got.State)
	assert.Equal(t, resources.ConditionDiscovery, got.Conditions[0].Name)
	require.Len(t, got.Targets, 1)

	explained := got.Targets[0]
	assert.Equal(t, 9*time.Minute, explained.Desired.ReleasesIn)
	assert.Equal(t, []string{"SpegelHighCPU is firing: 1800m, quiet at 385m"}, explained.Desired.Blockers)
	assert.Equal(t, "max 100000", explained.Ceiling.OwnerLimit)
	assert.Equal(t, "contained", explained.Verdict.Outcome)

	// A desired ceiling of 0 is none.
	require.NoError(t, safe.StateModify(t.Context(), guard.State, resources.NewDesiredCeiling(target), func(r *resources.DesiredCeiling) error {
		r.TypedSpec().CeilingMillicores = 0

		return nil
	}))

	got, err = node.Explain(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, got.Targets, 1)
	assert.True(t, got.Targets[0].Desired.None())

	_, err = node.Explain(t.Context(), "a/b/c")
	assert.Equal(t, codes.NotFound, status.Code(err))
	assert.ErrorContains(t, err, `unknown target "a/b/c": the node has the targets `+target)
}

func TestNode_PastEventsAreTheLastActions(t *testing.T) {
	node, guard := throttled(t)

	second := resources.NewGuardAction("000001")
	second.TypedSpec().Action = resources.ActionRelease
	require.NoError(t, guard.State.Create(t.Context(), second))

	for name, test := range map[string]struct {
		tail int
		want []string
	}{
		"all":  {-1, []string{resources.ActionApply, resources.ActionRelease}},
		"one":  {1, []string{resources.ActionRelease}},
		"none": {0, nil},
		"many": {50, []string{resources.ActionApply, resources.ActionRelease}},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := node.PastEvents(t.Context(), test.tail)
			require.NoError(t, err)

			var names []string

			for _, event := range events {
				assert.Equal(t, client.EventAction, event.Kind)

				names = append(names, event.Name)
			}

			assert.Equal(t, test.want, names)
		})
	}

	for _, tail := range []int{-2, 51} {
		_, err := node.PastEvents(t.Context(), tail)
		assert.ErrorContains(t, err, "must be -1 for all actions, or 0..50")
	}
}

func TestNode_EventsFollowChanges(t *testing.T) {
	node, guard := throttled(t)

	ctx, cancel := context.WithCancel(t.Context())
	events := make(chan client.Event)
	done := make(chan error)

	go func() {
		done <- node.Events(ctx, -1, func(e client.Event) error {
			select {
			case events <- e:
			case <-ctx.Done():
			}

			return nil
		})
	}()

	// The past comes when the watches are open.
	assert.Equal(t, "000000", (<-events).Action.ID)

	// New figures are no event, another state is.
	set := func(value float64, state string) {
		require.NoError(t, safe.StateModify(t.Context(), guard.State, resources.NewRuleStatus(target+"/SpegelHighCPU"), func(r *resources.RuleStatus) error {
			r.TypedSpec().Value, r.TypedSpec().State = value, state

			return nil
		}))
	}
	set(1.9, "firing")
	set(1.9, "releasing")

	rule := <-events
	assert.Equal(t, []string{client.EventRule, target, "SpegelHighCPU", "releasing", "firing"}, []string{rule.Kind, rule.Target, rule.Name, rule.State, rule.Before})

	require.NoError(t, safe.StateModify(t.Context(), guard.State, resources.NewGuardStatus(resources.GuardStatusID), func(r *resources.GuardStatus) error {
		r.TypedSpec().State = resources.StateReleasing

		return nil
	}))

	changed := <-events
	assert.Equal(t, []string{client.EventState, resources.StateReleasing, resources.StateThrottled}, []string{changed.Kind, changed.State, changed.Before})

	require.NoError(t, safe.StateModify(t.Context(), guard.State, resources.NewCondition(resources.ConditionDiscovery), func(r *resources.Condition) error {
		r.TypedSpec().Set(resources.ReasonCRI, "down", time.Second)

		return nil
	}))

	condition := <-events
	assert.Equal(t, []string{client.EventCondition, resources.ReasonCRI, resources.ReasonOK}, []string{condition.Kind, condition.State, condition.Before})

	verdict := resources.NewVerdict(target)
	verdict.TypedSpec().Outcome = "contained"
	require.NoError(t, guard.State.Create(t.Context(), verdict))
	assert.Equal(t, "contained", (<-events).State)

	// An override is an action, too.
	two := func() map[string]client.Event {
		a, b := <-events, <-events

		return map[string]client.Event{a.Kind: a, b.Kind: b}
	}

	_, err := node.Pause(t.Context(), &guardv1alpha1.PauseRequest{For: durationpb.New(time.Minute), Reason: "why"})
	require.NoError(t, err)

	began := two()
	assert.Equal(t, resources.ActionPause, began[client.EventAction].Name)
	assert.Contains(t, began[client.EventAction].Action.By.Subject, "CN=anna")
	assert.Equal(t, "in force", began[client.EventOverride].State)

	// New times after the node's clock was set are no event: the next ones are those of the end.
	clockSet(t, guard.State, resources.NewVerdict(target), resources.NewOverride(resources.OverridePauseID),
		resources.NewGuardStatus(resources.GuardStatusID), resources.NewCondition(resources.ConditionDiscovery), resources.NewGuardAction("000000"))

	_, err = node.Resume(t.Context(), &guardv1alpha1.ResumeRequest{})
	require.NoError(t, err)

	ended := two()
	assert.Equal(t, resources.ActionResume, ended[client.EventAction].Name)
	assert.Equal(t, "ended", ended[client.EventOverride].State)

	cancel()
	assert.ErrorIs(t, <-done, context.Canceled)

	// The function's own error ends it.
	stop := errors.New("stop")
	assert.ErrorIs(t, node.Events(t.Context(), -1, func(client.Event) error { return stop }), stop)
}

// clockSet gives resources other times.
func clockSet(t *testing.T, st state.State, all ...resource.Resource) {
	t.Helper()

	for _, r := range all {
		_, err := st.UpdateWithConflicts(t.Context(), r.Metadata(), func(r resource.Resource) error {
			resources.SetTimes(r.Spec(), func(at time.Duration) time.Time { return time.Unix(1e9, int64(at)) })

			return nil
		})
		require.NoError(t, err)
	}
}
