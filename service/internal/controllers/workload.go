// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

// workload is one decision with what clients know of it.
type workload struct {
	*decide.Workload

	desired desiredPublisher
	rules   rulesPublisher
	verdict verdictPublisher

	// unlogged: the newest decision is not in the log yet.
	unlogged bool
	// lostAt is when its container ended; 0 while it runs.
	lostAt time.Duration
}

// publish updates its resources, the desired ceiling first: it is acted upon. It reports whether the status of the guard
// may have changed. It calls published when the desired ceiling is this decision's, with whether it changed.
func (w *workload) publish(
	ctx context.Context, r controller.Writer, id resource.ID, settings *decide.Settings, mode config.Mode, published func(changed bool),
) (bool, error) {
	desired := w.Desired(settings)

	ceiling, err := w.desired.publish(ctx, r, id, &desired)
	if err != nil {
		return false, err
	}

	published(ceiling)

	rules, err := w.rules.publish(ctx, r, id, w.Decision().Rules, mode)
	if err != nil {
		return false, err
	}

	verdict, at := w.Verdict()

	return ceiling || rules || !desired.None(), w.verdict.publish(ctx, r, id, verdict, at)
}

// state is what its next engine continues from, in this process or another.
func (w *workload) state() persist.Workload {
	return persist.Workload{SavedState: w.SavedState(), Yielded: w.YieldedSince()}
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
