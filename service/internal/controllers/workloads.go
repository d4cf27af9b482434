// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"maps"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

// workloads are all that are known, with those whose container ended a short while ago.
type workloads struct {
	known map[resource.ID]*workload
	// loaded are the saved states of an earlier process whose workloads have not been seen yet.
	loaded map[resource.ID]persist.Workload
	// last is what the file holds.
	last map[resource.ID]persist.Workload
	// startedAt is when this process began.
	startedAt time.Duration
}

// retention is how long a workload without a container is kept for its next one: a restarted container must not start
// with a full credit and an empty back-off.
const retention = time.Hour

// get returns a workload; a new one continues from its saved state.
func (w *workloads) get(id resource.ID, engine func(policy.SavedState) *policy.Engine) *workload {
	found, ok := w.known[id]
	if !ok {
		state := w.loaded[id]
		delete(w.loaded, id)

		found = &workload{Workload: decide.NewWorkload(engine(state.SavedState), state.Yielded)}
		w.known[id] = found
	}

	found.lostAt = 0

	return found
}

// save writes the saved state to a file when it changed.
func (w *workloads) save(file persist.File[persist.Workload]) error {
	state := maps.Clone(w.loaded)
	if state == nil {
		state = map[resource.ID]persist.Workload{}
	}

	for id, known := range w.known {
		state[id] = persist.Workload{SavedState: known.SavedState(), Yielded: known.YieldedSince()}
	}

	if maps.Equal(state, w.last) {
		return nil
	}

	w.last = state

	return file.Save(state)
}

// withdraw removes the resources of workloads that have no sample, and after retention the workloads. It reports whether
// there was a resource to remove.
func (w *workloads) withdraw(
	ctx context.Context, r controller.Writer, latest map[resource.ID]*resources.TargetStatsSpec, now time.Duration, forget func(string),
) (bool, error) {
	withdrawn := false

	for id, known := range w.known {
		if _, present := latest[id]; present {
			continue
		}

		switch {
		case known.lostAt == 0:
			if err := known.withdraw(ctx, r, id); err != nil {
				return false, err
			}

			known.lostAt, withdrawn = now, true
		case now-known.lostAt > retention:
			delete(w.known, id)
			forget(id)
		}
	}

	if now-w.startedAt > retention {
		w.loaded = nil
	}

	return withdrawn, nil
}
