// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
)

// enforcer lets the ceilings of all targets follow the desired ones.
type enforcer struct {
	ceilings  ceilings
	evidence  evidenceTaker
	publisher ceilingPublisher
	reactions reactions
	leases    *enforce.Leases
	// stale says whose lease has expired; nil for none.
	stale error
}

// minLease is the shortest time without a decision after which a ceiling is released, and leaseIntervals that time in samples
// if it is longer.
const (
	minLease       = 30 * time.Second
	leaseIntervals = 3
)

// errStale is the reason of a release for want of decisions.
var errStale = errors.New("no decision on the target: the sampling or the policy is stuck")

// follow moves a target's ceiling towards the desired one.
func (e *enforcer) follow(
	ctx context.Context, r controller.Runtime, id resource.ID, target resources.TargetSpec, desired *decide.DesiredCeiling, cfg config.Config,
) ([]resources.GuardActionSpec, error) {
	ceiling, replaced := e.ceilings.get(enforceTarget(id, target))

	length := max(minLease, leaseIntervals*cfg.Interval.Duration)

	if e.leases.Expired(id, boottime.Now(), length) {
		e.stale = errors.Join(e.stale, fmt.Errorf("%s: %w", id, errStale))
		done := ceiling.Release(enforce.ActionRelease, fmt.Sprintf("no decision for %s", length), boottime.Now())

		return append(actionSpecs(replaced, cfg.Mode, ""), actionSpecs(done, cfg.Mode, "")...),
			e.publisher.publish(ctx, r, id, ceilingStatus(ceiling.Status()))
	}

	ready, evidence := e.evidence.take(id, target, desired, ceiling.InForce(), cfg, r.QueueReconcile)
	if !ready {
		desired = nil
	}

	done := actionSpecs(ceiling.Reconcile(desired, boottime.Now()), cfg.Mode, evidence)
	e.reactions.measure(id, done, desired)

	return append(actionSpecs(replaced, cfg.Mode, ""), done...), e.publisher.publish(ctx, r, id, ceilingStatus(ceiling.Status()))
}

// remove releases the ceilings of targets that are gone.
func (e *enforcer) remove(
	ctx context.Context, r controller.Writer, targets map[resource.ID]resources.TargetSpec, mode config.Mode,
) ([]resources.GuardActionSpec, error) {
	var actions []resources.GuardActionSpec

	e.leases.Keep(func(id string) bool {
		_, present := targets[id]

		return present
	})

	for id := range e.ceilings.byTarget {
		if _, present := targets[id]; present {
			continue
		}

		actions = append(actions, actionSpecs(e.ceilings.remove(id), mode, "")...)
		e.evidence.drop(id)
		delete(e.reactions.last, id)

		if err := e.publisher.publish(ctx, r, id, resources.CeilingStatusSpec{}); err != nil {
			return actions, err
		}
	}

	return actions, nil
}
