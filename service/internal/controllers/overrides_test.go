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

func TestOverrides_PauseComesFirst(t *testing.T) {
	pause := decide.Override{Kind: decide.Pause, Until: time.Minute}
	throttle := decide.Override{Kind: decide.Throttle, Until: time.Hour}
	all := overrides{"a": throttle, resources.OverridePauseID: pause}

	assert.Equal(t, pause, all.of("a"))
	assert.Equal(t, pause, all.of("b"))
	assert.Equal(t, throttle, all.at(time.Minute).of("a"), "the pause has expired")
	assert.Empty(t, all.at(time.Minute).of("b"))
	assert.Nil(t, overrides{}.at(0))
}

func TestOverrideText(t *testing.T) {
	until := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

	for want, spec := range map[string]resources.OverrideSpec{
		"paused until 2026-11-25T12:00:00Z by CN=anna":              {Kind: resources.OverridePause, By: resources.Person{Subject: "CN=anna"}},
		"released until 2026-11-25T12:00:00Z by CN=anna: NAS":       {Kind: resources.OverrideRelease, By: resources.Person{Subject: "CN=anna"}, Reason: "NAS"},
		"throttled until 2026-11-25T12:00:00Z by an unknown person": {Kind: resources.OverrideThrottle},
	} {
		t.Run(spec.Kind, func(t *testing.T) {
			spec.Until = until
			assert.Equal(t, want, overrideText(&spec))
		})
	}
}
