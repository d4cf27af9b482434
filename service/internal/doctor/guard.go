// SPDX-License-Identifier: MPL-2.0

//go:build linux

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// conditions returns a check for each condition of the guard.
func (d Doctor) conditions(ctx context.Context) ([]Check, error) {
	all, err := safe.StateListAll[*resources.Condition](ctx, d.State)
	if err != nil {
		return nil, fmt.Errorf("failed to list conditions: %w", err)
	}

	var checks []Check

	for condition := range all.All() {
		spec := condition.TypedSpec()
		check := Check{Name: condition.Metadata().ID(), State: resources.CheckOK, Message: spec.Message}

		if !spec.OK {
			check.State, check.Message, check.Fix = resources.CheckFailed, spec.Reason, resources.Fix(spec.Reason)

			if spec.Message != "" {
				check.Message += ": " + spec.Message
			}
		}

		checks = append(checks, check)
	}

	return checks, nil
}

// targets checks for each target whether its ceiling can be written and its signals can be read.
func (d Doctor) targets(ctx context.Context) ([]Check, error) {
	targets, err := safe.StateListAll[*resources.Target](ctx, d.State)
	if err != nil {
		return nil, fmt.Errorf("failed to list targets: %w", err)
	}

	if targets.Len() == 0 {
		return []Check{{
			Name: "target", State: resources.CheckFailed, Message: "the node has no target", Fix: resources.Fix(resources.ReasonNoTarget),
		}}, nil
	}

	ceilings, err := safe.StateListAll[*resources.CeilingStatus](ctx, d.State)
	if err != nil {
		return nil, fmt.Errorf("failed to list ceilings: %w", err)
	}

	active, err := safe.StateGetByID[*resources.GuardConfig](ctx, d.State, resources.GuardConfigID)
	if err != nil && !state.IsNotFoundError(err) {
		return nil, fmt.Errorf("failed to read the configuration: %w", err)
	}

	observes := err == nil && active.TypedSpec().Mode == string(config.ModeObserve)

	var checks []Check

	for target := range targets.All() {
		checks = append(checks, d.cpuMax(target.Metadata().ID(), target.TypedSpec().Cgroup, observes))

		var ceiling *resources.CeilingStatusSpec

		if found, ok := ceilings.Find(func(c *resources.CeilingStatus) bool { return c.Metadata().ID() == target.Metadata().ID() }); ok {
			ceiling = found.TypedSpec()
		}

		if limits, ok := d.limits(target.TypedSpec(), ceiling); ok {
			checks = append(checks, limits.Check(target.Metadata().ID()))
		}

		if check, ok := crossCheck(d.Cgroup, target.Metadata().ID(), target.TypedSpec().Cgroup); ok {
			checks = append(checks, check)
		}
	}

	stats, err := safe.StateListAll[*resources.TargetStats](ctx, d.State)
	if err != nil {
		return nil, fmt.Errorf("failed to list samples: %w", err)
	}

	for stat := range stats.All() {
		checks = append(checks, signals(stat.Metadata().ID(), stat.TypedSpec()))
	}

	return checks, nil
}

// cpuMax checks whether a target's ceiling can be written. A guard that only observes needs no cpu.max.
func (d Doctor) cpuMax(id, path string, observes bool) Check {
	message := id + ": can be written"
	err := writable(filepath.Join(d.Cgroup, path, "cpu.max"))

	if err != nil {
		message = fmt.Sprintf("%s: %s", id, err)
	}

	if d.enforcing() {
		message += "; SELinux is enforcing"
	}

	check := Check{Name: "cpu.max", State: resources.CheckOK, Message: message}

	switch {
	case err == nil:
		return check
	case observes:
		check.State = resources.CheckWarning
	default:
		check.State = resources.CheckFailed
	}

	check.Fix = resources.Fix(resources.ReasonNotPermitted)
	if errors.Is(err, fs.ErrNotExist) {
		check.Fix = resources.Fix(resources.ReasonNoController)
	}

	return check
}

// signals checks whether the signals that rules can be about are available.
func signals(id string, spec *resources.TargetStatsSpec) Check {
	var unavailable []string

	for _, signal := range policy.Signals() {
		if reading := spec.Signal(signal); reading.Provenance == resources.ProvenanceUnavailable {
			unavailable = append(unavailable, fmt.Sprintf("%s (%s)", signal, reading.Reason))
		}
	}

	if len(unavailable) == 0 {
		return Check{Name: "signals", State: resources.CheckOK, Message: id + ": all signals are available"}
	}

	return Check{
		Name: "signals", State: resources.CheckWarning, Message: id + ": unavailable: " + strings.Join(unavailable, ", "),
		Fix: "use rules on other signals, these neither trip nor release; for allocation set target.metrics (port and path)",
	}
}
