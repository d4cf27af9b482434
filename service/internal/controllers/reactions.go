// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
)

// reactions measures the time from the sample that a ceiling is due to until it is in force.
type reactions struct {
	// observer takes it in seconds.
	observer prometheus.Observer
	// since is when this process began: a ceiling that is due to an earlier sample has no reaction.
	since time.Duration
	// last is the newest hold of each target.
	last map[resource.ID]time.Duration
}

// measure writes the reaction into the actions, if the hold is desired for the first time. A second attempt, an override and a
// container that started after the trip have no reaction. While a ceiling waits for its profile, desired is nil.
func (m *reactions) measure(id resource.ID, started time.Duration, actions []resources.GuardActionSpec, desired *decide.DesiredCeiling) {
	if desired == nil || desired.None() || desired.Probing || desired.Rule == decide.RuleOverride {
		return
	}

	first := m.last[id] != desired.Since
	m.last[id] = desired.Since

	if !first || desired.Since < max(m.since, started) {
		return
	}

	for i := range actions {
		if actions[i].Action != resources.ActionApply {
			continue
		}

		actions[i].Reaction = actions[i].Clock - desired.Since
		m.observer.Observe(actions[i].Reaction.Seconds())
	}
}
