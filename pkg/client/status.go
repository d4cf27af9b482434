// SPDX-License-Identifier: MPL-2.0

package client

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"golang.org/x/sync/errgroup"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Guard is the state of one node's guard, as in resources.GuardStatusSpec.
type Guard struct {
	// State is one of resources.GuardStates.
	State string `yaml:"state"`
	// Mode is observe or enforce.
	Mode string `yaml:"mode"`
	// Since is when the state began.
	Since time.Time `yaml:"since,omitempty"`
	// Message explains the state and what to do.
	Message string `yaml:"message"`
}

// Status is the state of one node's guard and the newest readings of every target.
type Status struct {
	Guard `yaml:",inline"`

	// Targets in the order of their ids.
	Targets []TargetStatus `yaml:"targets"`
	// Version of the guard.
	Version   string     `yaml:"version"`
	Overrides []Override `yaml:"overrides"`
}

// Worst returns the target to look at first: one under a ceiling, or the one that uses the most CPU. It is empty without a
// target.
func (s Status) Worst() TargetStatus {
	if len(s.Targets) == 0 {
		return TargetStatus{}
	}

	return slices.MaxFunc(s.Targets, func(a, b TargetStatus) int {
		limited := func(t TargetStatus) int {
			if CeilingCores(t.Ceiling) > 0 {
				return 1
			}

			return 0
		}

		return cmp.Or(cmp.Compare(limited(a), limited(b)), cmp.Compare(a.CPU.Value, b.CPU.Value))
	})
}

// MarshalJSON implements json.Marshaler.
func (s Status) MarshalJSON() ([]byte, error) { return marshal(s) }

// TargetStatus is the state of one target.
type TargetStatus struct {
	// ID of the target: <namespace>/<pod>/<container>.
	ID                        string `yaml:"id"`
	resources.TargetStatsSpec `yaml:",inline"`

	// Rules in the order of their names.
	Rules []Rule `yaml:"rules"`
	// Ceiling is nil when the target has none.
	Ceiling *resources.CeilingStatusSpec `yaml:"ceiling,omitempty"`
}

// Rule is the state of one rule for a target.
type Rule struct {
	Name                     string `yaml:"name"`
	resources.RuleStatusSpec `yaml:",inline"`
}

// ruleStates are from the least to the most important.
var ruleStates = []policy.State{policy.StateOK, policy.StateUnavailable, policy.StateReleasing, policy.StatePending, policy.StateFiring}

// LoudestRule returns the name of the rule that led to the ceiling, or of the one with the most important state; empty when there is no
// ceiling and all rules are ok.
func (t TargetStatus) LoudestRule() string {
	if t.Ceiling != nil && t.Ceiling.Rule != "" {
		return t.Ceiling.Rule
	}

	name, rank := "", 0

	for _, rule := range t.Rules {
		if r := slices.Index(ruleStates, policy.State(rule.State)); r > rank {
			name, rank = rule.Name, r
		}
	}

	return name
}

// Override is an override in force.
type Override struct {
	// Target is a target's id, or resources.OverridePauseID.
	Target                 string `yaml:"target"`
	resources.OverrideSpec `yaml:",inline"`
}

// CeilingCores returns the ceiling in force in cores; 0 without one, and for one that is only observed.
func CeilingCores(ceiling *resources.CeilingStatusSpec) float64 {
	if ceiling == nil || !ceiling.InForce() {
		return 0
	}

	cores, _ := resources.CPUMax(ceiling.ReadBack)

	return cores
}

// Status reads the state of the guard and of every target.
func (n *Node) Status(ctx context.Context) (*Status, error) {
	status := &Status{}
	group, ctx := errgroup.WithContext(ctx)
	common := collectCommon(ctx, group, n.Resources)

	collect(ctx, group, n.Resources, func(id resource.ID, item *resources.TargetStats) {
		status.Targets = append(status.Targets, TargetStatus{ID: id, TargetStatsSpec: *item.TypedSpec()})
	})
	group.Go(func() error {
		version, err := n.Version(ctx)
		status.Version = GuardVersion(version)

		return err
	})

	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("failed to read the status: %w", err)
	}

	status.Guard, status.Overrides = common.guard, common.overrides

	for i := range status.Targets {
		target := &status.Targets[i]
		target.Rules, target.Ceiling = common.rules[target.ID], common.ceilings[target.ID]
	}

	return status, nil
}
