// SPDX-License-Identifier: MPL-2.0

//go:build linux

package fleettest

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"

	"github.com/spegel-guard/spegel-guard/internal/alerts"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/incident"
)

// Now is the moment of all fixed times.
var Now = time.Date(2026, 1, 5, 3, 4, 5, 0, time.UTC)

// Figures of one node.
type Figures struct {
	incident.Figures

	// Throttled puts a ceiling of 500m in force, from a minute ago on.
	Throttled bool
}

// IncidentFigures are the incident's three nodes. The culprit is throttled.
func IncidentFigures() []Figures {
	var all []Figures

	for _, f := range incident.Table() {
		all = append(all, Figures{Figures: f, Throttled: f.Role == incident.Culprit})
	}

	return all
}

// HealthyFigures are those of a node of a fleet at rest; no two are quite alike.
func HealthyFigures(i int) Figures {
	vary := 1 + float64(i*7919%100)/250

	return Figures{Figures: incident.Figures{
		Name: fmt.Sprintf("talos-prod-%d", i+1), Role: incident.Calm, CPU: 0.01 * vary, TX: 500 * vary, Allocation: 8e6 / 60 * vary, GC: 0.03 * vary,
		Blobs: 700 + float64(i*31%200), Disk: 0.5 + float64(i*13%20)/100, Pods: 25 + float64(i*5%20), NodeTX: 600e3 * vary, NFS: 2e6 * vary,
	}}
}

// TargetOf is the target on a node.
func TargetOf(node string) string { return "spegel/spegel-" + node[len(node)-1:] + "x7k2/registry" }

// pastSteps are ten minutes.
const pastSteps = 60

// NewWith makes a guard that reads figures, with a past.
func NewWith(ctx context.Context, f Figures, host string, port int) (*Guard, error) {
	guard, err := New(ctx, f.Name, host, port, f.resources()...)
	if err != nil {
		return nil, err
	}

	// What runs away now was at rest at first.
	past := func(value float64) func(int) float64 {
		return func(step int) float64 {
			if f.Throttled && step < pastSteps/3 {
				return value / 20
			}

			return value
		}
	}

	guard.Past(TargetOf(f.Name), pastSteps, past(f.CPU), past(f.TX), past(f.Allocation))
	guard.NodePast(pastSteps, func(step int) float64 {
		// The pod's traffic is a part of it.
		return f.NodeTX - f.TX + past(f.TX)(step)
	})

	return guard, nil
}

func (f Figures) resources() []resource.Resource {
	id := TargetOf(f.Name)
	seconds := time.Second
	unavailable := resources.Unavailable("not in this test")

	status := resources.NewGuardStatus(resources.GuardStatusID)
	*status.TypedSpec() = resources.GuardStatusSpec{
		State: resources.StateOK, Mode: "enforce", Target: id, Ceiling: "-", Since: Now.Add(-2 * time.Hour), Targets: 1,
	}

	target := resources.NewTarget(id)
	*target.TypedSpec() = resources.TargetSpec{ContainerID: "5f2a", Cgroup: "kubepods/burstable/pod1/5f2a", Source: "cri"}

	stats := resources.NewTargetStats(id)
	*stats.TypedSpec() = resources.TargetStatsSpec{
		ContainerID: "5f2a", At: Now, CPU: resources.Measured(f.CPU), TXBytesPerSecond: resources.Measured(f.TX), RXBytesPerSecond: resources.Measured(f.TX * 0.9),
		MemoryBytes: resources.Measured(52e6), ThrottledRatio: resources.Measured(0), CPUPressure: resources.Measured(0),
		Application: resources.ApplicationStats{AllocBytesPerSecond: resources.Measured(f.Allocation), GCPerSecond: resources.Measured(f.GC)},
	}

	node := resources.NewNodeStats()
	*node.TypedSpec() = resources.NodeStatsSpec{
		At: Now, ContentBlobs: resources.Measured(f.Blobs), DiskUsedRatio: resources.Measured(f.Disk), Pods: resources.Measured(f.Pods), TXBytesPerSecond: resources.Measured(f.NodeTX),
		NFSReadBytesPerSecond: resources.Measured(f.NFS / 2), NFSWriteBytesPerSecond: resources.Measured(f.NFS / 2), NFSRoundTripSeconds: unavailable,
	}

	cpu := rule(id, alerts.HighCPU, f.CPU)
	tx := rule(id, alerts.HighTX, f.TX)
	alloc := rule(id, alerts.HighAllocation, f.Allocation)

	condition := resources.NewCondition(resources.ConditionDiscovery)
	*condition.TypedSpec() = resources.ConditionSpec{OK: true, Reason: resources.ReasonOK, Since: Now.Add(-2 * time.Hour)}

	all := []resource.Resource{status, target, stats, node, cpu, tx, alloc, condition, f.config()}

	if !f.Throttled {
		return all
	}

	status.TypedSpec().State, status.TypedSpec().Ceiling, status.TypedSpec().Rule = resources.StateThrottled, "500m", "SpegelHighCPU"
	status.TypedSpec().Since, status.TypedSpec().Message = Now.Add(-time.Minute), "cpu 1800m above 550m for 10m"
	cpu.TypedSpec().State, cpu.TypedSpec().Since = "firing", Now.Add(-time.Minute)
	tx.TypedSpec().State, tx.TypedSpec().Since, tx.TypedSpec().TripsIn = "pending", Now.Add(-4*time.Minute), 6*time.Minute
	alloc.TypedSpec().State, alloc.TypedSpec().Since = "firing", Now.Add(-10*time.Minute)
	stats.TypedSpec().ThrottledRatio = resources.Measured(0.94)

	hold := resources.NewDesiredCeiling(id)
	*hold.TypedSpec() = resources.DesiredCeilingSpec{
		Mode: "enforce", CeilingMillicores: 500, FloorMillicores: 100, Rule: "SpegelHighCPU", Reason: "cpu 1800m above 550m for 10m",
		Since: Now.Add(-time.Minute), HoldUntil: Now.Add(9 * time.Minute), ReleasesIn: 9 * time.Minute, ProbesIn: 9 * time.Minute,
		Blockers: []string{"SpegelHighCPU is firing: 1800m, quiet at 385m"},
	}

	ceiling := resources.NewCeilingStatus(id)
	*ceiling.TypedSpec() = resources.CeilingStatusSpec{
		State: resources.CeilingApplied, ContainerID: "5f2a", OwnerLimit: "max 100000", Applied: "50001 100000", ReadBack: "50001 100000",
		Rule: "SpegelHighCPU", AppliedAt: Now.Add(-59 * seconds), AppliedAtClock: 59 * seconds,
	}

	action := resources.NewGuardAction("000000")
	*action.TypedSpec() = resources.GuardActionSpec{
		At: Now.Add(-59 * seconds), Action: resources.ActionApply, Mode: "enforce", Target: id, ContainerID: "5f2a", Rule: "SpegelHighCPU",
		Reason: "cpu 1800m above 550m for 10m", Before: "max 100000", After: "50001 100000", Evidence: "/run/spegel-guard/evidence/1",
	}

	return append(all, hold, ceiling, action)
}

// rule is the status of a default rule that is quiet.
func rule(target, name string, value float64) *resources.RuleStatus {
	for _, r := range config.Default().Policy().Rules {
		if r.Name != name {
			continue
		}

		status := resources.NewRuleStatus(target + "/" + name)
		*status.TypedSpec() = resources.RuleStatusSpec{
			Signal: string(r.Signal), State: "ok", Value: value, Threshold: r.Threshold, Since: Now.Add(-2 * time.Hour),
			Mode: string(cmp.Or(r.Mode, config.ModeEnforce)),
		}

		return status
	}

	panic("no default rule " + name)
}

func (f Figures) config() resource.Resource {
	document, err := config.Marshal(config.Default())
	if err != nil {
		panic(err) // the defaults can be written
	}

	active := resources.NewGuardConfig(resources.GuardConfigID)
	*active.TypedSpec() = resources.GuardConfigSpec{
		Mode: "enforce", Source: config.Path, Document: string(document),
		Settings: []resources.ConfigSetting{
			{Field: "mode", Value: "enforce", Origin: resources.OriginDefault}, {Field: "ceiling.cpu", Value: "500m", Origin: "line 5"},
		},
	}

	return active
}
