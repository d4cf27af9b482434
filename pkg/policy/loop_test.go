// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/test/plant"
)

// change is an event and when it was.
type change struct {
	at       time.Duration
	event    policy.Event
	decision policy.Decision
}

// recorder keeps what happened.
type recorder struct {
	changes  []change
	verdicts []policy.Verdict
	last     policy.Decision
}

func (r *recorder) see(sample policy.Sample, decision policy.Decision) {
	r.last = decision

	if decision.Event != "" {
		r.changes = append(r.changes, change{at: sample.At, event: decision.Event, decision: decision})
	}

	if decision.Verdict != nil {
		r.verdicts = append(r.verdicts, *decision.Verdict)
	}
}

func (r *recorder) events() []policy.Event {
	var events []policy.Event

	for _, c := range r.changes {
		events = append(events, c.event)
	}

	return events
}

func newLoop(t testing.TB, document string) *plant.Loop {
	t.Helper()

	cfg, err := config.Parse([]byte(document))
	require.NoError(t, err)

	return &plant.Loop{Engine: policy.New(cfg.Policy(), policy.Options{Seed: 1}), Step: time.Second}
}

const cpuRule = "rules: [{name: CPU, signal: cpu, threshold: 400m, for: 10m, window: 1m}]\n"
