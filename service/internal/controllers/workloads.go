// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"maps"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"

	"github.com/spegel-guard/spegel-guard/internal/bounded"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

// workloads are all that are known, with those whose container ended a short while ago.
type workloads struct {
	known map[resource.ID]*workload
	// saved are the states of workloads that are not known: those of an earlier process, and those that ended before others.
	saved map[resource.ID]savedWorkload
	// last is what the file holds. Unsaved: it may not hold the newest states.
	last    map[resource.ID]persist.Workload
	unsaved bool
}

// savedWorkload is the state of a workload since its container ended.
type savedWorkload struct {
	persist.Workload

	since time.Duration
}

const (
	// retention is how long a workload without a container is kept for its next one: a restarted container must not start
	// with a full credit and an empty back-off.
	retention = time.Hour
	// maxEnded is how many workloads without a container are kept with their counters and points of 10 s, 46 kB each. Of earlier
	// ones only the saved state is kept, if there is one, and the averages over a minute (record.HistoryTargets).
	maxEnded = 16
	// maxSaved is how many of those states are kept, about 300 bytes each, and up to 1400 more for each signal with a baseline.
	maxSaved = 256
)

func newWorkloads(loaded map[resource.ID]persist.Workload, now time.Duration) workloads {
	w := workloads{known: map[resource.ID]*workload{}, saved: map[resource.ID]savedWorkload{}}

	for id, state := range loaded {
		w.keep(id, state, now)
	}

	return w
}

// get returns a workload; a new one continues from its saved state.
func (w *workloads) get(id resource.ID, engine func(policy.SavedState) *policy.Engine) *workload {
	found, ok := w.known[id]
	if !ok {
		state := w.saved[id]
		delete(w.saved, id)

		if len(state.Baselines) == 0 {
			state.Baselines = predecessor(w, id)
		}

		found = &workload{Workload: decide.NewWorkload(engine(state.SavedState), state.Yielded)}
		w.known[id] = found
		w.unsaved = true
	}

	found.lostAt = 0

	return found
}

// save writes the saved state to a file when it changed. If that fails it removes the file; stale reports that it could not.
func (w *workloads) save(file persist.File[persist.Workload]) (stale bool, err error) {
	state := make(map[resource.ID]persist.Workload, len(w.saved)+len(w.known))

	for id, saved := range w.saved {
		state[id] = saved.Workload
	}

	for id, known := range w.known {
		state[id] = known.state()
	}

	if !maps.EqualFunc(state, w.last, persist.Workload.Equal) {
		if stale, err = file.SaveOrRemove(state); err != nil {
			if !stale {
				w.last = nil
			}

			return stale, err // and saved again
		}
	}

	w.last, w.unsaved = state, false

	return false, nil
}

// withdraw removes the resources of workloads that have no sample, and after retention the workloads, or sooner if many
// ended. It reports whether there was a resource to remove.
func (w *workloads) withdraw(
	ctx context.Context, r controller.Writer, latest map[resource.ID]*resources.TargetStatsSpec, now time.Duration, forget func(string),
) (bool, error) {
	withdrawn, ended := false, 0

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

			continue
		}

		ended++
	}

	if ended > maxEnded {
		for _, id := range bounded.Excess(w.known, maxEnded, lostAt) {
			w.keep(id, w.known[id].state(), w.known[id].lostAt)
			delete(w.known, id)
			forget(id)
		}
	}

	maps.DeleteFunc(w.saved, func(_ resource.ID, state savedWorkload) bool { return now-state.since > retention })

	return withdrawn, nil
}

// keep keeps a state for the next container of its workload.
func (w *workloads) keep(id resource.ID, state persist.Workload, since time.Duration) {
	if state.IsZero() {
		return
	}

	w.saved[id] = savedWorkload{Workload: state, since: since}

	for _, excess := range bounded.Excess(w.saved, maxSaved, savedSince) {
		delete(w.saved, excess)
	}
}

func lostAt(_ resource.ID, w *workload) (time.Duration, bool) { return w.lostAt, w.lostAt != 0 }

func savedSince(_ resource.ID, s savedWorkload) (time.Duration, bool) { return s.since, true }
