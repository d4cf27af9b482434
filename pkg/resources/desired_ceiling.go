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

// DesiredCeiling is a wanted ceiling; its id is the target's.
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

// DesiredCeilingSpec is what the policy wants. Without a wanted ceiling there is no resource.
type DesiredCeilingSpec struct {
	// Mode is observe or enforce; in observe nothing is written.
	Mode string `yaml:"mode" protobuf:"1"`
	// CeilingMillicores is what the strategy asks for, FloorMillicores as configured; the owner's limit
	// is not taken into account yet.
	CeilingMillicores int64 `yaml:"ceilingMillicores" protobuf:"2"`
	FloorMillicores   int64 `yaml:"floorMillicores" protobuf:"3"`
	// Rule that tripped, and the figures it tripped on.
	Rule   string `yaml:"rule" protobuf:"4"`
	Reason string `yaml:"reason" protobuf:"5"`
	// Since is when it tripped; HoldUntil is the earliest release.
	Since     time.Time `yaml:"since" protobuf:"6"`
	HoldUntil time.Time `yaml:"holdUntil" protobuf:"7"`
	// SinceClock and HoldUntilClock are the same on CLOCK_BOOTTIME.
	SinceClock     time.Duration `yaml:"sinceClock" protobuf:"8"`
	HoldUntilClock time.Duration `yaml:"holdUntilClock" protobuf:"9"`
	// Probing: the hold is over and demand pressed on; the ceiling is lifted to see what it is like.
	Probing bool `yaml:"probing" protobuf:"10"`
	// Conflict: what to do about somebody else's cpu.max, reassert or yield.
	Conflict string `yaml:"conflict" protobuf:"11"`
	// YieldedClock is the SinceClock of the hold that yielded to somebody else's cpu.max before the guard
	// was started again.
	YieldedClock time.Duration `yaml:"yieldedClock" protobuf:"12"`
	// ReleasesIn is the time until the ceiling goes if all stays quiet, and Blockers what stands against
	// its release now.
	ReleasesIn time.Duration `yaml:"releasesIn" protobuf:"13"`
	Blockers   []string      `yaml:"blockers,omitempty" protobuf:"14"`
}

// ResourceDefinition implements typed.Extension.
func (DesiredCeilingExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(DesiredCeilingType, []resource.Type{"desiredceiling"},
		column("Ceiling", ".ceilingMillicores"), column("Rule", ".rule"), column("Hold until", ".holdUntil"), column("Mode", ".mode"))
}
