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
	// last is the hold of each target whose reaction was measured.
	last map[resource.ID]time.Duration
}

// measure writes the reaction into the actions. A second attempt and an override have none.
func (m *reactions) measure(id resource.ID, actions []resources.GuardActionSpec, desired *decide.DesiredCeiling) {
	for i := range actions {
		if actions[i].Action != resources.ActionApply || desired.Rule == decide.RuleOverride ||
			desired.Since < m.since || desired.Since == m.last[id] {
			continue
		}

		m.last[id] = desired.Since
		actions[i].Reaction = actions[i].Clock - desired.Since
		m.observer.Observe(actions[i].Reaction.Seconds())
	}
}
