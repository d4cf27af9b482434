// SPDX-License-Identifier: MPL-2.0

package resources

import (
	"slices"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/typed"
)

// DesiredCeilingType is the type of DesiredCeiling.
const DesiredCeilingType = resource.Type("DesiredCeilings.spegelguard.dev")

// DesiredCeiling is the ceiling that should be in force on a target; its id is the target's.
type DesiredCeiling = typed.Resource[DesiredCeilingSpec, DesiredCeilingExtension]

// NewDesiredCeiling returns an empty DesiredCeiling.
func NewDesiredCeiling(id resource.ID) *DesiredCeiling {
	return create[DesiredCeilingSpec, DesiredCeilingExtension](DesiredCeilingType, id)
}

// DesiredCeilingExtension gives DesiredCeiling its definition.
type DesiredCeilingExtension struct{}

// DeepCopy implements typed.DeepCopyable.
func (s DesiredCeilingSpec) DeepCopy() DesiredCeilingSpec {
	s.Blockers = slices.Clone(s.Blockers)

	return s
}

func init() { register[DesiredCeilingSpec, DesiredCeilingExtension](DesiredCeilingType) }

// DesiredCeilingSpec is what the arbiter decided from the rules and the overrides. Every target has one.
type DesiredCeilingSpec struct {
	// Mode is observe or enforce; in observe nothing is written.
	Mode string `yaml:"mode" protobuf:"1"`
	// CeilingMillicores is the ceiling in thousandths of a core before the owner's limit is applied; 0 is none.
	// FloorMillicores is ceiling.floor.
	CeilingMillicores int64 `yaml:"ceilingMillicores" protobuf:"2"`
	FloorMillicores   int64 `yaml:"floorMillicores" protobuf:"3"`
	// Rule that tripped, or override; Reason says why the ceiling is desired, or why none is.
	Rule   string `yaml:"rule" protobuf:"4"`
	Reason string `yaml:"reason" protobuf:"5"`
	// Since is when it tripped; HoldUntil is the earliest release.
	Since     time.Time `yaml:"since,omitempty" protobuf:"6"`
	HoldUntil time.Time `yaml:"holdUntil,omitempty" protobuf:"7"`
	// SinceClock and HoldUntilClock are the same on CLOCK_BOOTTIME.
	SinceClock     time.Duration `yaml:"sinceClock" protobuf:"8"`
	HoldUntilClock time.Duration `yaml:"holdUntilClock" protobuf:"9"`
	// Probing: the hold is over, and the workload was throttled or not every rule is quiet; the ceiling is lifted to measure the demand.
	Probing bool `yaml:"probing" protobuf:"10"`
	// Conflict: what to do about an external change of cpu.max, reassert or yield.
	Conflict string `yaml:"conflict" protobuf:"11"`
	// YieldedClock is the SinceClock of the hold that yielded to an external change before the service
	// restarted.
	YieldedClock time.Duration `yaml:"yieldedClock" protobuf:"12"`
	// ReleasesIn is the time until the earliest release, and Blockers what prevents a release now. Quiet tells that the
	// release comes then if nothing changes.
	ReleasesIn time.Duration `yaml:"releasesIn" protobuf:"13"`
	Blockers   []string      `yaml:"blockers,omitempty" protobuf:"14"`
	Quiet      bool          `yaml:"quiet" protobuf:"15"`
	// ProbesIn is the time until a probe if nothing changes; 0 when none is foreseen.
	ProbesIn time.Duration `yaml:"probesIn" protobuf:"16"`
	// FailedProbes is how many probes of this breach have measured it again.
	FailedProbes uint64 `yaml:"failedProbes" protobuf:"17"`
	// Pretty has the values of columns as text.
	Pretty *Pretty `yaml:"pretty,omitempty" protobuf:"-"`
}

// None reports whether no ceiling is desired. A nil spec is none.
func (s *DesiredCeilingSpec) None() bool { return s == nil || s.CeilingMillicores == 0 }

// ResourceDefinition implements typed.Extension.
func (DesiredCeilingExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(DesiredCeilingType, []resource.Type{"desiredceiling"},
		column("Ceiling", ".pretty.ceiling"), column("Rule", ".rule"), column("Hold until", ".holdUntil"), column("Mode", ".mode"))
}
