// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/task"
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
	// stale are the targets whose lease has expired, and staleErr is why.
	stale    []resource.ID
	staleErr error
	pause    standstill
}

// newEnforcer returns the enforcer of a controller, without ceilings.
func newEnforcer(c *CeilingController) enforcer {
	return enforcer{
		ceilings:  ceilings{node: c.Node, byTarget: map[resource.ID]*enforce.Ceiling{}, orphans: c.Orphans},
		evidence:  newEvidenceTaker(c),
		publisher: ceilingPublisher{last: map[resource.ID]resources.CeilingStatusSpec{}},
		leases:    c.Leases,
		reactions: reactions{observer: c.Reaction, since: boottime.Now(), last: map[resource.ID]time.Duration{}},
	}
}

// errStale is the reason of a release for want of decisions.
var errStale = errors.New("no decision on the newest samples")

// errStuck is errStale while the guard runs.
var errStuck = fmt.Errorf("%w: the sampling or the policy is stuck", errStale)

// err returns what prevents ceilings from being applied; nil for nothing.
func (e *enforcer) err() error {
	err := e.ceilings.err()
	if err != nil || len(e.stale) == 0 {
		return err
	}

	slices.Sort(e.stale)

	return fmt.Errorf("%s: %w", strings.Join(e.stale, ", "), e.staleErr)
}

// reconcile moves all ceilings towards the desired ones and returns what was done, also with an error: a ceiling whose status cannot
// be published was written all the same, and delays no other. The next call publishes what differs.
func (e *enforcer) reconcile(
	ctx context.Context, r controller.Writer, inputs ceilingInputs, cfg config.Config, logger *zap.Logger,
) ([]resources.GuardActionSpec, error) {
	var (
		actions []resources.GuardActionSpec
		errs    error
	)

	e.stale, e.staleErr = e.stale[:0], nil
	e.pause.begin(boottime.Now(), leaseOf(cfg))

	defer func() { e.pause.end(boottime.Now()) }()

	clear(e.evidence.due)
	e.forget(inputs.targets)

	// Before the others: another target may have the container now, under another id.
	errs = errors.Join(errs, e.release(inputs.targets, cfg.Mode, &actions))

	for id, target := range inputs.targets {
		// A panic ends the work on this target only.
		err := task.Step("move the ceiling of a target", func() error {
			return e.follow(ctx, r, id, target, desiredCeiling(inputs.desired[id]), cfg, logger, &actions)
		})
		errs = errors.Join(errs, err)
	}

	e.evidence.keep(actions)

	return actions, errors.Join(errs, e.publisher.withdraw(ctx, r, inputs.targets))
}

// follow moves a target's ceiling towards the desired one. It adds what was done to actions, also before an error.
func (e *enforcer) follow(
	ctx context.Context, r controller.Writer, id resource.ID, target resources.TargetSpec, desired *decide.DesiredCeiling, cfg config.Config,
	logger *zap.Logger, actions *[]resources.GuardActionSpec,
) error {
	ceiling := e.ceilings.get(enforceTarget(id, target))
	if ceiling == nil {
		return e.publisher.publish(ctx, r, id, resources.CeilingStatusSpec{}) // none
	}

	now := boottime.Now()

	if desired != nil && !desired.None() && e.leases.Expired(id, now, leaseOf(cfg)) {
		reason := e.pause.explain(func(at time.Duration) bool { return e.leases.Expired(id, at, leaseOf(cfg)) }, now, leaseOf(cfg))

		// A target without a decision for another reason than a standstill is the worse one.
		if e.stale = append(e.stale, id); e.staleErr == nil || errors.Is(reason, errStuck) {
			e.staleErr = reason
		}

		desired = &decide.DesiredCeiling{Reason: reason.Error()} // none
	}

	if !e.evidence.prepare(id, target, desired, ceiling.InForce(), cfg, logger) {
		desired = nil
	}

	done := actionSpecs(ceiling.Reconcile(desired, now), cfg.Mode)
	e.reactions.measure(id, target.StartedClock, done, desired)

	*actions = append(*actions, done...)

	return e.publisher.publish(ctx, r, id, ceilingStatus(ceiling.Status()))
}

// release releases the ceilings of targets that are gone and of containers that were replaced. It adds what was done to actions.
func (e *enforcer) release(targets map[resource.ID]resources.TargetSpec, mode config.Mode, actions *[]resources.GuardActionSpec) error {
	var errs error

	for id, ceiling := range e.ceilings.byTarget {
		reason := e.ceilings.ended(id, targets)
		if reason == "" {
			continue
		}

		errs = errors.Join(errs, task.Step("release the ceiling of a target", func() error {
			*actions = append(*actions, actionSpecs(ceiling.Release(enforce.ActionRelease, reason, boottime.Now()), mode)...)

			e.ceilings.detach(id)

			return nil
		}))
	}

	return errs
}

// forget drops what is kept of targets that are gone, except for their ceilings.
func (e *enforcer) forget(targets map[resource.ID]resources.TargetSpec) {
	present := func(id resource.ID) bool {
		_, ok := targets[id]

		return ok
	}

	e.leases.Keep(present, boottime.Now())

	for id := range e.evidence.captures {
		if !present(id) {
			e.evidence.drop(id)
		}
	}

	maps.DeleteFunc(e.reactions.last, func(id resource.ID, _ time.Duration) bool { return !present(id) })
}
