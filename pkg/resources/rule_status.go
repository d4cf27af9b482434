// SPDX-License-Identifier: MPL-2.0

package resources

import (
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/typed"
)

// RuleStatusType is the type of RuleStatus.
const RuleStatusType = resource.Type("RuleStatuses.spegelguard.dev")

// RuleStatus is a rule's state for a target; its id is <target>/<rule>.
type RuleStatus = typed.Resource[RuleStatusSpec, RuleStatusExtension]

// NewRuleStatus returns an empty RuleStatus.
func NewRuleStatus(id resource.ID) *RuleStatus {
	return create[RuleStatusSpec, RuleStatusExtension](RuleStatusType, id)
}

// RuleStatusExtension gives RuleStatus its definition.
type RuleStatusExtension struct{}

// DeepCopy implements typed.DeepCopyable.
func (s RuleStatusSpec) DeepCopy() RuleStatusSpec { return s }

func init() { register[RuleStatusSpec, RuleStatusExtension](RuleStatusType) }

// SignalExpression is in the place of a signal for a rule with an expression.
const SignalExpression = "expression"

// RuleStatusSpec is the outcome of one rule.
type RuleStatusSpec struct {
	// Signal is what the rule watches, or SignalExpression.
	Signal string `yaml:"signal" protobuf:"1"`
	// State is ok, pending, firing, releasing or unavailable.
	State string `yaml:"state" protobuf:"2"`
	// Value is the average over the window, Threshold what it is compared with: cores, bytes per second,
	// or a share of 1. A rule with credit is compared with what it earns; an expression is 1 or 0.
	Value     float64 `yaml:"value" protobuf:"3"`
	Threshold float64 `yaml:"threshold" protobuf:"4"`
	// Since is when the state began.
	Since time.Time `yaml:"since,omitempty" protobuf:"5"`
	// TripsIn is the time until a pending rule fires if nothing changes; 0 if that is unknown.
	TripsIn time.Duration `yaml:"tripsIn" protobuf:"6"`
	// Reason says why the signal of an unavailable rule cannot be read.
	Reason string `yaml:"reason,omitempty" protobuf:"7"`
	// Credit is the share of the rule's credit that is left, 0..1, if HasCredit.
	Credit float64 `yaml:"credit,omitempty" protobuf:"8"`
	// Mode of the rule: observe or enforce.
	Mode string `yaml:"mode" protobuf:"9"`
	// HasCredit reports whether the rule has a credit, which may be empty.
	HasCredit bool `yaml:"hasCredit,omitempty" protobuf:"10"`
	// SinceClock is Since on CLOCK_BOOTTIME.
	SinceClock time.Duration `yaml:"sinceClock" protobuf:"11"`
	// Usual is the usual level of the signal, in its unit, if the rule has a baseline. Learned is how much time it is of. The rule
	// cannot fire before Learned is at least Learn, which is 0 without a baseline.
	Usual   float64       `yaml:"usual,omitempty" protobuf:"12"`
	Learned time.Duration `yaml:"learned,omitempty" protobuf:"13"`
	Learn   time.Duration `yaml:"learn,omitempty" protobuf:"14"`
	// Pretty has the values of columns as text.
	Pretty *Pretty `yaml:"pretty,omitempty" protobuf:"-"`
}

// ResourceDefinition implements typed.Extension.
func (RuleStatusExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(RuleStatusType, []resource.Type{"rulestatus", "rule", "rules"},
		column("State", ".state"), column("Value", ".pretty.value"), column("Threshold", ".pretty.threshold"), column("Trips in", ".pretty.tripsIn"))
}
