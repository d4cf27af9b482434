// SPDX-License-Identifier: MPL-2.0

package resources

import (
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/typed"
)

// GuardActionType is the type of GuardAction.
const GuardActionType = resource.Type("GuardActions.spegelguard.dev")

// GuardAction is one thing the guard did; its id is a sequence number. The last MaxGuardActions are kept.
type GuardAction = typed.Resource[GuardActionSpec, GuardActionExtension]

// NewGuardAction returns an empty GuardAction.
func NewGuardAction(id resource.ID) *GuardAction {
	return create[GuardActionSpec, GuardActionExtension](GuardActionType, id)
}

// GuardActionExtension gives GuardAction its definition.
type GuardActionExtension struct{}

// DeepCopy implements typed.DeepCopyable.
func (s GuardActionSpec) DeepCopy() GuardActionSpec { return s }

func init() { register[GuardActionSpec, GuardActionExtension](GuardActionType) }

// MaxGuardActions is how many actions are kept.
const MaxGuardActions = 50

// Kinds of actions.
const (
	ActionApply   = "apply"
	ActionRelease = "release"
	// ActionAdjust puts another ceiling in the place of one in force.
	ActionAdjust = "adjust"
	// ActionProbe lifts a ceiling for a while, to see what demand is like without it.
	ActionProbe = "probe"
	// ActionAdopt goes on with a ceiling that an earlier process left.
	ActionAdopt = "adopt"
	// ActionExternalChange: somebody else wrote cpu.max; nothing was done but to take it as the owner's.
	ActionExternalChange = "external-change"
	// ActionObserve is what enforcing would have done.
	ActionObserve = "would-apply"
	ActionFail    = "fail"
	// What a person asked for over the API. ActionRelease is one, too, when By is set.
	ActionThrottle = "throttle"
	ActionPause    = "pause"
	ActionResume   = "resume"
	ActionCapture  = "capture"
	// ActionExpire: the time of what a person asked for is over.
	ActionExpire = "expire"
)

// GuardActionSpec is the action with what led to it.
type GuardActionSpec struct {
	At     time.Time `yaml:"at" protobuf:"1"`
	Action string    `yaml:"action" protobuf:"2"`
	Mode   string    `yaml:"mode" protobuf:"3"`
	Target string    `yaml:"target" protobuf:"4"`
	// ContainerID and Cgroup acted upon.
	ContainerID string `yaml:"containerID" protobuf:"5"`
	Cgroup      string `yaml:"cgroup" protobuf:"6"`
	Rule        string `yaml:"rule" protobuf:"7"`
	Reason      string `yaml:"reason" protobuf:"8"`
	// Before and After are cpu.max as the kernel showed it.
	Before string `yaml:"before" protobuf:"9"`
	After  string `yaml:"after" protobuf:"10"`
	Error  string `yaml:"error,omitempty" protobuf:"11"`
	// Evidence is the directory on the node with what was kept of the target from before the action, or why there is none.
	Evidence string `yaml:"evidence,omitempty" protobuf:"12"`
	// By is who asked for it over the API; nobody did for what the rules decided.
	By Person `yaml:"by,omitempty" protobuf:"13"`
	// Until is when what was asked for ends by itself; zero for what has no end of its own.
	Until time.Time `yaml:"until,omitempty" protobuf:"14"`
	// Reaction is the time from the start of the sample that a ceiling was due to until it was in force.
	Reaction time.Duration `yaml:"reaction,omitempty" protobuf:"15"`
}

// ResourceDefinition implements typed.Extension.
func (GuardActionExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(GuardActionType, []resource.Type{"guardaction", "action", "actions"},
		column("At", ".at"), column("Action", ".action"), column("Target", ".target"), column("Rule", ".rule"),
		column("Before", ".before"), column("After", ".after"), column("By", ".by.subject"))
}
