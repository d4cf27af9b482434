// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/service/internal/controllers"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

// TestRestore_PrintsEveryCgroup restores what it finds, and fails when it could not look everywhere.
func TestRestore_PrintsEveryCgroup(t *testing.T) {
	memory := enforcetest.NewNode()
	c := memory.Create("kubepods/pod1/c1", "50001 100000", 1)
	c.SetJournal(cgroup.Journal{Target: "a/b/c", OwnerLimit: enforcetest.Unlimited, Applied: "50001 100000"})

	node := enforcetest.Incomplete(memory.Enforce(), enforcetest.ErrBroken)

	var out strings.Builder

	require.ErrorIs(t, restoreNode(node, flags{}, &out), enforcetest.ErrBroken)
	assert.Equal(t, "kubepods/pod1/c1: a/b/c: cpu.max \"max 100000\", was \"50001 100000\"\n", out.String())
	assert.Equal(t, enforcetest.Unlimited, c.CPUMax())

	out.Reset()

	require.NoError(t, restoreNode(memory.Enforce(), flags{}, &out))
	assert.Equal(t, "0 ceilings released, none is left\n", out.String())
}

// TestContinued merges saved state and journals. The newer hold takes precedence, the saved one of two that are as new.
func TestContinued(t *testing.T) {
	now := boottime.Now()
	held := func(rule string) policy.Hold {
		return policy.Hold{Rule: rule, Since: now - time.Minute, Until: now + time.Hour, Millicores: 500}
	}
	ended := policy.Hold{Rule: "ended", Since: now - time.Hour, Until: now - time.Minute}

	remembered := map[string]persist.Workload{
		"a": {SavedState: policy.SavedState{Hold: held("memory"), Level: 2}},
		"b": {SavedState: policy.SavedState{Hold: ended, Level: 3}},
	}
	left := enforce.Adopted{
		Holds:   map[string]policy.Hold{"a": held("journal"), "c": held("journal")},
		Changed: map[string]time.Duration{"c": now - time.Minute},
	}

	cfg := controllers.LoadedConfig{Config: config.Default()}
	known := continued(remembered, left, cfg)

	assert.Equal(t, "memory", known["a"].Hold.Rule)
	assert.Equal(t, policy.SavedState{Level: 3, Released: ended.Until}, known["b"].SavedState)
	assert.Equal(t, held("journal"), known["c"].Hold)
	assert.Zero(t, known["c"].Yielded, "reassert")

	// A crash between the write of a ceiling and that of the saved state: the journal has the newer hold, which the saved level does
	// not count.
	newer := held("journal")
	newer.Since += time.Second
	crashed := continued(remembered, enforce.Adopted{Holds: map[string]policy.Hold{"a": newer, "b": newer}}, cfg)
	assert.Equal(t, policy.SavedState{Hold: newer}, crashed["a"].SavedState)
	assert.Equal(t, policy.SavedState{Hold: newer, Released: ended.Until}, crashed["b"].SavedState)

	// A crash between the write of a step down and that of the saved state.
	stepped := held("memory")
	stepped.Millicores = 375
	crashed = continued(remembered, enforce.Adopted{Holds: map[string]policy.Hold{"a": stepped}}, cfg)
	assert.Equal(t, policy.SavedState{Hold: stepped, Level: 2}, crashed["a"].SavedState)

	// The step down after the end of the hold prolongs it: that counts as one more trip, however long ago the hold began.
	relaxed := policy.Hold{Rule: "R", Since: now - 5*time.Hour, Until: now - 4*time.Hour, Millicores: 500, FailedProbes: 1}
	prolonged := policy.Hold{Rule: "R", Since: relaxed.Since, Until: now + 30*time.Minute, Millicores: 375}
	crashed = continued(map[string]persist.Workload{"a": {SavedState: policy.SavedState{Hold: relaxed, Level: 2}}},
		enforce.Adopted{Holds: map[string]policy.Hold{"a": prolonged}}, cfg)
	prolonged.FailedProbes, prolonged.Prolonged = 1, now-10*time.Minute
	assert.Equal(t, policy.SavedState{Hold: prolonged, Level: 3}, crashed["a"].SavedState)

	// It is not over because it began more than the longest hold ago.
	known = continued(map[string]persist.Workload{"a": {SavedState: policy.SavedState{Hold: prolonged, Level: 3}}}, enforce.Adopted{}, cfg)
	assert.Equal(t, prolonged, known["a"].Hold)

	// The document may have shorter holds by now.
	short := cfg
	short.Ceiling.Hold.Duration, short.Ceiling.Backoff.Max.Duration = time.Minute, 5*time.Minute
	crashed = continued(map[string]persist.Workload{"a": {SavedState: policy.SavedState{Hold: relaxed, Level: 2}}},
		enforce.Adopted{Holds: map[string]policy.Hold{"a": prolonged}}, short)
	assert.GreaterOrEqual(t, crashed["a"].Hold.Until, now+5*time.Minute, "five minutes from the restart")
	assert.LessOrEqual(t, crashed["a"].Hold.Until, boottime.Now()+5*time.Minute)

	cfg.Ceiling.Conflict = config.ConflictYield
	assert.Equal(t, now-time.Minute, continued(remembered, left, cfg)["c"].Yielded)

	// The document may have shorter holds and a higher floor now.
	cfg.Ceiling.Backoff.Max.Duration, cfg.Ceiling.Floor.Millicores = 10*time.Minute, 600

	for id, hold := range map[string]policy.Hold{"a": held("memory"), "c": held("journal")} {
		hold.Until, hold.Millicores = hold.Since+10*time.Minute, 600
		assert.Equal(t, hold, continued(remembered, left, cfg)[id].Hold)
	}

	cfg.Ceiling.Backoff.Max.Duration = time.Second
	assert.Zero(t, continued(remembered, enforce.Adopted{}, cfg)["a"].Hold, "it would be over")

	cfg.Config = config.Default()

	// A document that cannot be used leaves the holds to the next good one.
	cfg.Mode, cfg.Err = config.ModeObserve, errors.New("line 1")
	assert.Equal(t, held("memory"), continued(remembered, enforce.Adopted{}, cfg)["a"].Hold)

	// Mode observe has no journals to go on with, and gives up the holds that the memory knows.
	cfg.Err = nil
	known = continued(remembered, enforce.Adopted{}, cfg)
	assert.Equal(t, policy.SavedState{Level: 2}, known["a"].SavedState)
}
