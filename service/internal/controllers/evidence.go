// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
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
)

// evidenceTaker captures the evidence of each hold once, when its ceiling is first in force. It captures beside the
// controller, because a target may be slow to answer.
type evidenceTaker struct {
	// store is where evidence is kept; nil captures none.
	store *record.Evidence
	// feed has the newest answers of the targets.
	feed   *observe.Feed
	source func(resources.TargetSpec) observe.Source
	// captures by target.
	captures map[resource.ID]*capture
}

// get returns the capture of a desired ceiling, a new one for a new hold; nil for none. It takes the newest answer of the
// target and waits for nothing. Wake is called when the capture is ready.
func (e *evidenceTaker) get(
	id resource.ID, target resources.TargetSpec, desired *decide.DesiredCeiling, inForce bool, cfg config.Config, wake func(), logger *zap.Logger,
) *capture {
	if desired == nil || desired.None() || desired.Probing || e.store == nil || cfg.Evidence.Limit.Bytes == 0 {
		return nil
	}

	known := e.captures[id]

	if known != nil && known.target.ContainerID == target.ContainerID && known.since == desired.Since {
		return known
	}

	if inForce {
		return nil // too late: an earlier process applied the ceiling
	}

	e.drop(id)

	c := newCapture(e, id, target, desired.Since, cfg, targetLogger(logger, cfg.Mode, id))
	e.captures[id] = c

	// A profile of a throttled process says nothing: it is taken before the ceiling, which waits for it.
	if cfg.Evidence.Profile.Duration > 0 {
		c.start(wake)
	}

	return c
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

// saveTimeout is how long an action waits for the name of the folder with its evidence. It takes less than a millisecond.
const saveTimeout = time.Second
