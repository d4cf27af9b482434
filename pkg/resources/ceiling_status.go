// SPDX-License-Identifier: MPL-2.0

package resources

import (
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/typed"
)

// CeilingStatusType is the type of CeilingStatus.
const CeilingStatusType = resource.Type("CeilingStatuses.spegelguard.dev")

// CeilingStatus is a ceiling as the kernel has it; its id is the target's.
type CeilingStatus = typed.Resource[CeilingStatusSpec, CeilingStatusExtension]

// NewCeilingStatus returns an empty CeilingStatus.
func NewCeilingStatus(id resource.ID) *CeilingStatus {
	return create[CeilingStatusSpec, CeilingStatusExtension](CeilingStatusType, id)
}

// CeilingStatusExtension gives CeilingStatus its definition.
type CeilingStatusExtension struct{}

// DeepCopy implements typed.DeepCopyable.
func (s CeilingStatusSpec) DeepCopy() CeilingStatusSpec { return s }

func init() { register[CeilingStatusSpec, CeilingStatusExtension](CeilingStatusType) }

// States of a ceiling.
const (
	// CeilingApplied: the guard's value is in force.
	CeilingApplied = "applied"
	// CeilingObserved: it would be applied, but the mode is observe, or LastError does not let it.
	CeilingObserved = "observed"
	// CeilingOwnerLower: the owner's own limit is as low or lower; nothing was written.
	CeilingOwnerLower = "owner-lower"
	// CeilingYielded: somebody else changed cpu.max; their value is in force until the back-off is over,
	// or with conflict: yield until the hold is.
	CeilingYielded = "yielded"
	// CeilingTerminating: the container ends, and the ceiling is released.
	CeilingTerminating = "terminating"
	// CeilingFailed: writing failed; LastError says why.
	CeilingFailed = "failed"
)

// CeilingStatusSpec is what was done and what the kernel said.
type CeilingStatusSpec struct {
	State string `yaml:"state" protobuf:"1"`
	// ContainerID the ceiling is on.
	ContainerID string `yaml:"containerID" protobuf:"2"`
	// Original is the owner's cpu.max, Applied what was written, ReadBack what the kernel shows.
	OwnerLimit string `yaml:"ownerLimit" protobuf:"3"`
	Applied    string `yaml:"applied" protobuf:"4"`
	ReadBack   string `yaml:"readBack" protobuf:"5"`
	Rule       string `yaml:"rule" protobuf:"6"`
	// AppliedAt is when the ceiling in force was applied. It is absent when none is in force.
	AppliedAt time.Time `yaml:"appliedAt,omitempty" protobuf:"7"`
	// ExternalChanges counts how often somebody else changed cpu.max under a ceiling of this container.
	ExternalChanges uint64 `yaml:"externalChanges" protobuf:"8"`
	LastError       string `yaml:"lastError" protobuf:"9"`
	// Adopted is set if an earlier process of the guard had put it in force; Since and HoldUntil
	// (CLOCK_BOOTTIME) are that one's.
	Adopted        bool          `yaml:"adopted" protobuf:"10"`
	SinceClock     time.Duration `yaml:"sinceClock" protobuf:"11"`
	HoldUntilClock time.Duration `yaml:"holdUntilClock" protobuf:"12"`
	// AppliedAtClock is AppliedAt on CLOCK_BOOTTIME.
	AppliedAtClock time.Duration `yaml:"appliedAtClock,omitempty" protobuf:"13"`
	// Pretty has the values of columns as text.
	Pretty *Pretty `yaml:"pretty,omitempty" protobuf:"-"`
}

// InForce reports whether a ceiling is in force, also one that could not be adjusted or released.
func (s *CeilingStatusSpec) InForce() bool { return s.AppliedAtClock != 0 }

// ResourceDefinition implements typed.Extension.
func (CeilingStatusExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(CeilingStatusType, []resource.Type{"ceilingstatus", "ceiling", "ceilings"},
		column("State", ".state"), column("Owner's limit", ".pretty.ownerLimit"), column("Applied", ".pretty.applied"),
		column("Read back", ".pretty.readBack"), column("Rule", ".rule"), column("External changes", ".externalChanges"), column("Last error", ".lastError"))
}
