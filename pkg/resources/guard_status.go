// SPDX-License-Identifier: MPL-2.0

package resources

import (
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/typed"
)

// GuardStatusType is the type of GuardStatus.
const GuardStatusType = resource.Type("GuardStatuses.spegelguard.dev")

// GuardStatus is the one-line answer; its id is GuardStatusID.
type GuardStatus = typed.Resource[GuardStatusSpec, GuardStatusExtension]

// NewGuardStatus returns an empty GuardStatus.
func NewGuardStatus(id resource.ID) *GuardStatus {
	return create[GuardStatusSpec, GuardStatusExtension](GuardStatusType, id)
}

// GuardStatusExtension gives GuardStatus its definition.
type GuardStatusExtension struct{}

// DeepCopy implements typed.DeepCopyable.
func (s GuardStatusSpec) DeepCopy() GuardStatusSpec { return s }

func init() { register[GuardStatusSpec, GuardStatusExtension](GuardStatusType) }

// GuardStatusID is the id of the only GuardStatus.
const GuardStatusID resource.ID = "spegel"

// States of the guard, from what keeps it from working to what it sees.
const (
	// StateNoCgroup2: there is no unified cgroup v2 hierarchy.
	StateNoCgroup2 = "no-cgroup-v2"
	// StateNoCRI: the container runtime cannot be asked, and procfs shows no target.
	StateNoCRI = "no-cri"
	// StateNoTarget: no container matches.
	StateNoTarget = "no-target"
	// StateNoPermission: the machine does not let the guard write cpu.max; it only observes.
	StateNoPermission = "no-permission"
	// StateNoControl: the target's cgroup has no cpu.max, or is a threaded one; the guard only observes.
	StateNoControl = "no-control"
	// StateUnavailable: a signal of a rule cannot be read.
	StateUnavailable = "unavailable"
	// StateOK: all rules are quiet and no ceiling is in force.
	StateOK = "ok"
	// StatePending: a rule is above its threshold.
	StatePending = "pending"
	// StateFiring: a rule fires and no ceiling limits the workload: mode observe, a lower owner's limit, or a usage far
	// below the ceiling.
	StateFiring = "firing"
	// StateThrottled: a ceiling is in force and limits the workload, or a person has set it.
	StateThrottled = "throttled"
	// StateReleasing: a ceiling is in force, its cause has gone and it does not throttle the workload.
	StateReleasing = "releasing"
	// StateProbing: the ceiling is lifted briefly to measure the demand, because the workload was throttled at the end of the hold.
	StateProbing = "probing"
	// StatePaused: a pause override is in force, and the guard writes nothing.
	StatePaused = "paused"
)

// GuardStates are all of them.
func GuardStates() []string {
	return []string{
		StateNoCgroup2, StateNoCRI, StateNoTarget, StateNoPermission, StateNoControl, StateUnavailable, StateOK, StatePending, StateFiring,
		StateThrottled, StateReleasing, StateProbing, StatePaused,
	}
}

// GuardStatusSpec is what a person wants to know first. With several targets it is the worst one's.
type GuardStatusSpec struct {
	State  string `yaml:"state" protobuf:"1"`
	Mode   string `yaml:"mode" protobuf:"2"`
	Target string `yaml:"target" protobuf:"3"`
	// CPU and TX as the rules see them (averages), written for people.
	CPU string `yaml:"cpu" protobuf:"4"`
	TX  string `yaml:"tx" protobuf:"5"`
	// Ceiling in force: 500m, or "-".
	Ceiling string `yaml:"ceiling" protobuf:"6"`
	// Rule that matters most at the moment.
	Rule string `yaml:"rule" protobuf:"7"`
	// Since is when the state began.
	Since time.Time `yaml:"since,omitempty" protobuf:"8"`
	// ReleasesIn is the time until the earliest release.
	ReleasesIn time.Duration `yaml:"releasesIn" protobuf:"9"`
	// Message explains the state and what to do.
	Message string `yaml:"message" protobuf:"10"`
	Targets int64  `yaml:"targets" protobuf:"11"`
	// SinceClock is Since on CLOCK_BOOTTIME.
	SinceClock time.Duration `yaml:"sinceClock" protobuf:"12"`
}

// ResourceDefinition implements typed.Extension.
func (GuardStatusExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(GuardStatusType, []resource.Type{"spegel", "guardstatus"},
		column("State", ".state"), column("CPU", ".cpu"), column("TX", ".tx"), column("Ceiling", ".ceiling"),
		column("Since", ".since"), column("Rule", ".rule"), column("Mode", ".mode"))
}
