// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

// failingWriter is a writer that fails to update the resources of one type.
type failingWriter struct {
	controller.Writer

	kind resource.Type
}

var errBroken = errors.New("broken")

func (w failingWriter) Modify(ctx context.Context, r resource.Resource, update func(resource.Resource) error, options ...controller.ModifyOption) error {
	if r.Metadata().Type() == w.kind {
		return errBroken
	}

	return w.Writer.Modify(ctx, r, update, options...)
}

func TestPolicyController_PublishesAfterAFailure(t *testing.T) {
	for _, kind := range []resource.Type{resources.DesiredCeilingType, resources.RuleStatusType, resources.GuardStatusType, resources.VerdictType} {
		t.Run(kind, func(t *testing.T) {
			ticks := newTicking(t)
			writer := ticks.w
			ticks.w = failingWriter{Writer: writer, kind: kind}

			// A verdict is the last one to be published: when the ceiling is released.
			var err error
			for second := 0; err == nil && second < 3000; second++ {
				cores := 1.8
				if second > 700 {
					cores = 0.05
				}

				err = ticks.try(map[string]float64{targetID: cores})
			}

			require.ErrorIs(t, err, errBroken)

			// The runtime starts the controller again, with an event.
			require.NoError(t, ticks.c.reconcile(t.Context(), writer, true, ticks.logger))

			list, err := ticks.state.List(t.Context(), resource.NewMetadata(resources.Namespace, kind, "", resource.VersionUndefined))
			require.NoError(t, err)
			assert.NotEmpty(t, list.Items)
		})
	}
}

// TestPolicyController_SavesAfterTheCeiling: the enforcer is woken before the file and the other resources are written.
func TestPolicyController_SavesAfterTheCeiling(t *testing.T) {
	ticks := newTicking(t)
	file := filepath.Join(t.TempDir(), "state.json")
	ticks.c.decider.state = persist.File[persist.Workload]{Path: file, BootID: "boot"}

	woken := 0
	ticks.c.decider.urgent = func() {
		held := ticks.c.decider.workloads.known[targetID].Decision()
		if !held.Held {
			return
		}

		woken++

		desired, err := safe.StateGetByID[*resources.DesiredCeiling](t.Context(), ticks.state, targetID)
		require.NoError(t, err)
		assert.Equal(t, held.Hold.Since, desired.TypedSpec().SinceClock)
		assert.NoFileExists(t, file)

		rule, err := safe.StateGetByID[*resources.RuleStatus](t.Context(), ticks.state, targetID+"/SpegelHighCPU")
		require.NoError(t, err)
		assert.Equal(t, string(policy.StatePending), rule.TypedSpec().State)
	}

	for woken == 0 && ticks.now < 2*time.Hour {
		ticks.tick(t, map[string]float64{targetID: 1.8})
	}

	require.Positive(t, woken)

	saved, err := ticks.c.decider.state.Load()
	require.NoError(t, err)
	assert.Equal(t, ticks.c.decider.workloads.known[targetID].Decision().Hold, saved[targetID].Hold)
}

func TestPolicyController_DecidesWithoutSavedState(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))

	core, logs := observer.New(zapcore.InfoLevel)

	ticks := newTicking(t)
	ticks.logger = zap.New(core)
	ticks.c.decider.state = persist.File[persist.Workload]{Path: filepath.Join(file, "state.json"), BootID: "boot"}

	for range 700 {
		ticks.tick(t, map[string]float64{targetID: 1.8})
	}

	assert.Equal(t, 1, logs.FilterMessage("failed to save decisions, a restart starts without them").Len(), "though it is tried at each tick")
	assert.True(t, ticks.c.decider.workloads.known[targetID].Decision().Held)

	// No event follows: the next tick saves what the earlier ones could not.
	require.NoError(t, os.Remove(file))
	ticks.tick(t, map[string]float64{targetID: 0.1})

	known := ticks.c.decider.workloads.known[targetID]
	require.Empty(t, known.Decision().Event)
	assert.Equal(t, 1, logs.FilterMessage("decisions are saved again").Len())

	saved, err := ticks.c.decider.state.Load()
	require.NoError(t, err)
	assert.Equal(t, known.Decision().Hold, saved[targetID].Hold)
}

// TestPolicyController_DecidesOnAllWorkloads: one that cannot be published keeps no other one from its decision.
func TestPolicyController_DecidesOnAllWorkloads(t *testing.T) {
	ticks := newTicking(t)
	ticks.w = failingWriter{Writer: ticks.w, kind: resources.RuleStatusType}
	load := map[string]float64{"a/1/c": 1.8, "a/2/c": 1.8, "a/3/c": 1.8}

	require.ErrorIs(t, ticks.try(load), errBroken)

	for id := range load {
		_, err := safe.StateGetByID[*resources.DesiredCeiling](t.Context(), ticks.state, id)
		require.NoError(t, err)
	}
}
