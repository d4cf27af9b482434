// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// Files of the evidence of a ceiling. The ceiling is written between those before and those after.
const (
	metricsBefore = "metrics-before.txt"
	profileBefore = "cpu-before.pprof"
	metricsAfter  = "metrics-after.txt"
	// afterFailed says why there is no metricsAfter.
	afterFailed = "metrics-after.failed"
)

// saveTimeout is how long the actions of one pass wait for their evidence to be saved, which takes less than a millisecond.
const saveTimeout = time.Second

// notSaved is what an action says about evidence that is still being saved.
const notSaved = "not saved yet, the log says when it is saved"

// evidenceTaker captures the evidence of each hold once, when its ceiling is first in force. It asks the target beside the
// controller, because a target may be slow to answer.
type evidenceTaker struct {
	// create makes the folder of a capture, see record.Evidence; nil captures none.
	create func(target string, cfg config.Evidence) (*record.Folder, error)
	// feed has the newest answers of the targets.
	feed   *observe.Feed
	source func(resources.TargetSpec) observe.Source
	// wake queues a reconcile: a profile was taken.
	wake func()
	// captures by target. Due are those whose ceiling may be written now.
	captures, due map[resource.ID]*capture
	// saving is the number of captures that are being saved.
	saving atomic.Int32
	// timeout is saveTimeout.
	timeout time.Duration
}

func newEvidenceTaker(c *CeilingController) evidenceTaker {
	var create func(string, config.Evidence) (*record.Folder, error)
	if c.Evidence != nil {
		create = c.Evidence.Create
	}

	return evidenceTaker{
		create: create, feed: c.Feed, source: c.Source, wake: c.Wake,
		captures: map[resource.ID]*capture{}, due: map[resource.ID]*capture{}, timeout: saveTimeout,
	}
}

// prepare takes the newest answer of a target whose ceiling is desired. It reports whether the ceiling may be written: only a profile
// delays it, and wakes the enforcer.
func (e *evidenceTaker) prepare(
	id resource.ID, target resources.TargetSpec, desired *decide.DesiredCeiling, inForce bool, cfg config.Config, logger *zap.Logger,
) bool {
	if desired == nil || desired.None() || desired.Probing || e.create == nil || cfg.Evidence.Limit.Bytes == 0 {
		return true
	}

	c := e.captures[id]

	if c == nil || c.target.ContainerID != target.ContainerID || c.since != desired.Since {
		if inForce {
			return true // too late: an earlier process applied the ceiling
		}

		e.drop(id)

		c = &capture{id: id, target: target, since: desired.Since, config: cfg, taker: e, logger: targetLogger(logger, cfg.Mode, id)}
		c.ctx, c.cancel = context.WithCancel(context.Background())
		e.captures[id] = c

		// A profile of a throttled process says nothing: it is taken before the ceiling, which waits for it.
		if cfg.Evidence.Profile.Duration > 0 {
			c.profile = startProfile(c)
		}
	}

	if !c.profile.ready() {
		return inForce
	}

	// The newest one: an earlier attempt to write may have failed.
	if c.saved == nil && !inForce {
		c.answer = e.feed.Answer(id, target.ContainerID)
	}

	e.due[id] = c

	return true
}

// keep saves the evidence of new ceilings and names it in their actions. No ceiling of the pass waits for it: all were written before.
// The next pass waits for at most saveTimeout, and not at all while a save of an earlier pass hangs.
func (e *evidenceTaker) keep(actions []resources.GuardActionSpec) {
	ctx, cancel := context.WithTimeout(context.Background(), e.timeout)
	defer cancel()

	if e.saving.Load() > 0 {
		cancel()
	}

	for i := range actions {
		action := &actions[i]

		if c := e.due[action.Target]; c != nil && (action.Action == resources.ActionApply || action.Action == resources.ActionObserve) {
			action.Evidence = c.keep(ctx, action.Clock)
		}
	}
}

// drop cancels a capture of a target; what was kept stays on disk.
func (e *evidenceTaker) drop(id resource.ID) {
	if known := e.captures[id]; known != nil {
		known.cancel()
		delete(e.captures, id)
	}
}

// dropAll cancels every capture.
func (e *evidenceTaker) dropAll() {
	for id := range e.captures {
		e.drop(id)
	}
}
