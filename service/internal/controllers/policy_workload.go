//go:build linux

package controllers

import (
	"context"
	"maps"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

// workload is one decision with what clients know of it.
type workload struct {
	*decide.Workload

	desired desiredPublisher
	rules   rulesPublisher
	verdict verdictPublisher

	// saved: it is in the saved state. unlogged: the newest decision is not in the log yet.
	saved, unlogged bool
	// lostAt is when its container ended; 0 while it runs.
	lostAt time.Duration
}

// publish updates its resources, the desired ceiling first: it is acted upon. It reports whether the ceiling changed,
// and whether the status of the guard may have.
func (w *workload) publish(
	ctx context.Context, r controller.Writer, id resource.ID, settings decide.Settings, mode config.Mode,
) (ceiling, status bool, err error) {
	desired := w.Desired(settings)

	if ceiling, err = w.desired.publish(ctx, r, id, desired); err != nil {
		return false, false, err
	}

	rules, err := w.rules.publish(ctx, r, id, w.Decision().Rules, mode)
	if err != nil {
		return ceiling, false, err
	}

	return ceiling, ceiling || rules || !desired.None(), w.verdict.publish(ctx, r, id, w.Verdict())
}

// withdraw removes its resources.
func (w *workload) withdraw(ctx context.Context, r controller.Writer, id resource.ID) error {
	if err := w.rules.withdraw(ctx, r); err != nil {
		return err
	}

	if err := w.verdict.withdraw(ctx, r, id); err != nil {
		return err
	}

	return w.desired.withdraw(ctx, r, id)
}

// workloads are all that are known, with those whose container ended a short while ago.
type workloads struct {
	known map[resource.ID]*workload
	// loaded are the saved states of an earlier process whose workloads have not been seen yet.
	loaded map[resource.ID]persist.Workload
	// last is what the file holds.
	last map[resource.ID]persist.Workload
}

// get returns a workload; a new one continues from its saved state.
func (w *workloads) get(id resource.ID, engine func(policy.Memory) *policy.Engine) *workload {
	found, ok := w.known[id]
	if !ok {
		state := w.loaded[id]
		delete(w.loaded, id)

		found = &workload{Workload: decide.NewWorkload(engine(state.Memory), state.Yielded)}
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
		state[id] = persist.Workload{Memory: known.Memory(), Yielded: known.YieldedSince()}
	}

	if maps.Equal(state, w.last) {
		return nil
	}

	w.last = state

	return file.Save(state)
}
