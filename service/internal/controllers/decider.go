// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/fault"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// minLease is the shortest time after a sample without a decision on a newer one in which a ceiling stays, and leaseIntervals
// that time in samples if it is longer.
const (
	minLease       = 30 * time.Second
	leaseIntervals = 3
)

// leaseOf returns how long a ceiling stays without a decision.
func leaseOf(cfg config.Config) time.Duration {
	return max(minLease, leaseIntervals*cfg.Interval.Duration)
}

// decider decides on the samples of all workloads, publishes and saves.
type decider struct {
	state   persist.File[persist.Workload]
	seed    uint64
	history *record.History
	leases  *enforce.Leases
	// urgent wakes the enforcer; nil for none.
	urgent func()
	// lease is the time after the newest sample in which its decision counts.
	lease time.Duration

	policy    policy.Config
	settings  decide.Settings
	recorder  record.Trace
	workloads workloads
	saveLog   persist.SaveLog
}

// configure starts every history anew under a configuration; a hold in force stays.
func (d *decider) configure(cfg config.Config, document string) {
	d.policy, d.settings = cfg.Policy(), settingsOf(cfg)
	d.lease = leaseOf(cfg)

	for _, w := range d.workloads.known {
		w.rules.outdated = true
		w.Replace(d.engine(w.SavedState()))
	}

	d.recorder.Configure(cfg.Trace, trace.Header{Version: trace.Version, Config: document, Seed: d.seed})
}

func (d *decider) engine(saved policy.SavedState) *policy.Engine {
	return policy.New(d.policy, policy.Options{Seed: d.seed, Saved: saved})
}

// save saves the decisions that are not saved yet. Call it after they are published: after a crash in between, the journal on the
// cgroup has the hold. A save that fails is tried again at the next call, and logged once until it has another effect or one succeeds.
func (d *decider) save(logger *zap.Logger) {
	if !d.workloads.unsaved {
		return
	}

	stale, err := d.workloads.save(d.state)
	d.saveLog.Add(logger, saveMessages, stale, err)
}

var saveMessages = persist.Messages{
	Removed: "failed to save decisions, a restart starts without them",
	Stale:   "failed to save and to remove decisions, a restart continues those that were saved last",
	Again:   "decisions are saved again",
}

// decide steps one workload and publishes it. It reports whether the status of the guard may have changed.
func (d *decider) decide(
	ctx context.Context, r controller.Writer, id resource.ID, stats *resources.TargetStatsSpec, ceiling *ceilingInput, overrides *decide.Overrides,
	logger *zap.Logger,
) (status bool, err error) {
	fault.Hang(fault.Deciding)

	w := d.workloads.get(id, d.engine)
	w.Update(stats.ContainerID, overrides)

	var sample policy.Sample

	due := w.Due(stats.Clock)
	if due {
		sample = policySample(stats, ceiling, overrides)
		d.history.Add(id, stats.ContainerID, sample)

		w.unlogged = w.Step(sample)
		d.workloads.unsaved = d.workloads.unsaved || w.Decision().Event != "" || w.Decision().Learned
	}

	if d.settings.Yield && ceiling.State == resources.CeilingYielded && w.Yield(ceiling.SinceClock) {
		d.workloads.unsaved = true
	}

	status, err = w.publish(ctx, r, id, &d.settings, d.policy.Mode, func(changed bool) {
		if due {
			d.leases.Renew(id, stats.Clock, d.lease)
		}

		if d.urgent != nil && (changed || w.Decision().Event != "") {
			d.urgent()
		}
	})

	// After it is published: a ceiling does not wait for files or the log.
	if due && d.recorder.Enabled() {
		d.recorder.Record(&trace.Sample{Workload: id, Container: stats.ContainerID, Sample: sample}, targetLogger(logger, d.policy.Mode, id))
	}

	if w.unlogged {
		w.unlogged = false
		logDecision(targetLogger(logger, d.policy.Mode, id), w.Before(), w.Decision(), w.Reason())
	}

	return status, err
}
