// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/service/internal/controllers"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

// TestContinued merges saved state and journals. Saved state takes precedence.
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

	cfg.Ceiling.Conflict = config.ConflictYield
	assert.Equal(t, now-time.Minute, continued(remembered, left, cfg)["c"].Yielded)

	// A document that cannot be used leaves the holds to the next good one.
	cfg.Mode, cfg.Err = config.ModeObserve, errors.New("line 1")
	assert.Equal(t, held("memory"), continued(remembered, enforce.Adopted{}, cfg)["a"].Hold)

	// Mode observe has no journals to go on with, and gives up the holds that the memory knows.
	cfg.Err = nil
	known = continued(remembered, enforce.Adopted{}, cfg)
	assert.Equal(t, policy.SavedState{Level: 2}, known["a"].SavedState)
}
