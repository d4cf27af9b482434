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

// GuardAction is one action of the guard or of a person. Its id is a sequence number; the last MaxGuardActions are kept. No
// controller owns the type: service/internal/record creates it, because CeilingController and the overrides of people
// both record actions and COSI allows one owner.
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
	// ActionAdjust replaces a ceiling in force by another one.
	ActionAdjust = "adjust"
	// ActionProbe lifts a ceiling briefly to measure the demand without it.
	ActionProbe = "probe"
	// ActionAdopt continues a ceiling that was found at start-up.
	ActionAdopt = "adopt"
	// ActionExternalChange: another program wrote cpu.max; its value is the owner's limit from now on.
	ActionExternalChange = "external-change"
	// ActionObserve is the ceiling that mode enforce would have applied.
	ActionObserve = "would-apply"
	ActionFail    = "fail"
	// Requests of a person over the API, as is ActionRelease if By is set.
	ActionThrottle = "throttle"
	ActionPause    = "pause"
	ActionResume   = "resume"
	ActionCapture  = "capture"
	// ActionExpire: the time of an override is over.
	ActionExpire = "expire"
)

// GuardActionSpec is the action and its cause.
type GuardActionSpec struct {
	At     time.Time `yaml:"at,omitempty" protobuf:"1"`
	Action string    `yaml:"action" protobuf:"2"`
	Mode   string    `yaml:"mode" protobuf:"3"`
	Target string    `yaml:"target" protobuf:"4"`
	// ContainerID and Cgroup of the target.
	ContainerID string `yaml:"containerID" protobuf:"5"`
	Cgroup      string `yaml:"cgroup" protobuf:"6"`
	Rule        string `yaml:"rule" protobuf:"7"`
	Reason      string `yaml:"reason" protobuf:"8"`
	// Before and After are cpu.max as read from the kernel.
	Before string `yaml:"before" protobuf:"9"`
	After  string `yaml:"after" protobuf:"10"`
	Error  string `yaml:"error,omitempty" protobuf:"11"`
	// Evidence is the directory on the node with evidence of the action and, in parentheses, which files are from before it and which
	// follow, or why there is none.
	Evidence string `yaml:"evidence,omitempty" protobuf:"12"`
	// By is who requested it over the API; zero for decisions of the rules.
	By Person `yaml:"by,omitempty" protobuf:"13"`
	// Until is when an override ends by itself; zero for other actions.
	Until time.Time `yaml:"until,omitempty" protobuf:"14"`
	// Reaction is the time from the start of the sample that caused a ceiling until it was in force.
	Reaction time.Duration `yaml:"reaction,omitempty" protobuf:"15"`
	// Clock and UntilClock are At and Until on CLOCK_BOOTTIME.
	Clock      time.Duration `yaml:"clock" protobuf:"16"`
	UntilClock time.Duration `yaml:"untilClock,omitempty" protobuf:"17"`
	// Pretty has the values of columns as text.
	Pretty *Pretty `yaml:"pretty,omitempty" protobuf:"-"`
}

// ResourceDefinition implements typed.Extension.
func (GuardActionExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(GuardActionType, []resource.Type{"guardaction", "action", "actions"},
		column("At", ".at"), column("Action", ".action"), column("Target", ".target"), column("Rule", ".rule"),
		column("Change", ".pretty.change"), column("By", ".by.subject"))
}
