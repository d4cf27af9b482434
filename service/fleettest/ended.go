// SPDX-License-Identifier: MPL-2.0

//go:build linux

package fleettest

import (
	"context"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// Steps of the past of NewEnded: ten minutes before the ceiling, eight under it, two after it.
const (
	beforeSteps = 60
	underSteps  = 48
	afterSteps  = 12
)

// ceilingCores is the default ceiling.
const ceilingCores = 0.5

// NewEnded is like NewWith for an incident that has ended. While the culprit has a ceiling, it and its peers do less in
// proportion; after the release all are at rest. The times are those of this machine.
func NewEnded(ctx context.Context, f Figures, host string, port int) (*Guard, error) {
	calm := f
	calm.Throttled = false

	all := calm.resources()
	now := boottime.Now()

	if f.Throttled {
		written := now - (underSteps+afterSteps)*record.HistoryStep

		all = append(all,
			f.action("000000", written, resources.ActionApply, "cpu 1800m above 550m for 10m", "max 100000", "50001 100000"),
			f.action("000001", now-afterSteps*record.HistoryStep, resources.ActionRelease, "the rules were quiet for 5m", "50001 100000", "max 100000"),
		)
	}

	guard, err := New(ctx, f.Name, host, port, all...)
	if err != nil {
		return nil, err
	}

	guard.now = now

	past := func(value float64) func(int) float64 {
		return func(step int) float64 {
			switch {
			case step < beforeSteps:
				return value
			case step < beforeSteps+underSteps:
				return value * ceilingCores / culpritCores()
			default:
				return value / 50
			}
		}
	}

	const steps = beforeSteps + underSteps + afterSteps

	guard.Past(TargetOf(f.Name), steps, past(f.CPU), past(f.TX), past(f.Allocation))
	guard.NodePast(steps, func(step int) float64 {
		// The pod's traffic is a part of it.
		return f.NodeTX - f.TX + past(f.TX)(step)
	})

	return guard, nil
}

// culpritCores is what the incident's culprit used.
func culpritCores() float64 {
	cores := 0.0

	for _, f := range IncidentFigures() {
		cores = max(cores, f.CPU)
	}

	return cores
}

func (f Figures) action(id string, at time.Duration, kind, reason, before, after string) *resources.GuardAction {
	action := resources.NewGuardAction(id)
	*action.TypedSpec() = resources.GuardActionSpec{
		At: boottime.Wall(at), Action: kind, Mode: "enforce", Target: TargetOf(f.Name), ContainerID: "5f2a", Rule: "SpegelHighCPU",
		Reason: reason, Before: before, After: after,
	}

	return action
}
