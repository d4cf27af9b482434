// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
)

func TestOverrides_ExpireByTheClock(t *testing.T) {
	pause := decide.Override{Kind: decide.Pause, Until: time.Minute}
	throttle := decide.Override{Kind: decide.Throttle, Until: time.Hour}
	all := overrides{"a": throttle, resources.OverridePauseID: pause}

	assert.Equal(t, decide.Overrides{Node: pause, Target: throttle}, all.at(0).of("a"))
	assert.Equal(t, decide.Overrides{Node: pause}, all.at(0).of("b"))
	assert.Equal(t, decide.Overrides{Target: throttle}, all.at(time.Minute).of("a"), "the pause has expired")
	assert.Empty(t, all.at(time.Minute).of("b"))
	assert.Nil(t, overrides{}.at(0))
}

func TestOverrideText(t *testing.T) {
	until := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

	for want, spec := range map[string]resources.OverrideSpec{
		"paused by CN=anna until 2026-11-25T12:00:00Z":              {Kind: resources.OverridePause, By: resources.Person{Subject: "CN=anna"}},
		"released by CN=anna until 2026-11-25T12:00:00Z: NAS":       {Kind: resources.OverrideRelease, By: resources.Person{Subject: "CN=anna"}, Reason: "NAS"},
		"throttled by an unknown person until 2026-11-25T12:00:00Z": {Kind: resources.OverrideThrottle},
	} {
		t.Run(spec.Kind, func(t *testing.T) {
			spec.Until = until
			assert.Equal(t, want, overrideText(&spec))
		})
	}
}
