// SPDX-License-Identifier: MPL-2.0

package resources

import (
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/typed"
)

// OverrideType is the type of Override.
const OverrideType = resource.Type("Overrides.spegelguard.dev")

// Override is a person's time-limited instruction that replaces the decisions of the rules. Its id is the target's, or
// OverridePauseID for the whole node.
type Override = typed.Resource[OverrideSpec, OverrideExtension]

// NewOverride returns an empty Override.
func NewOverride(id resource.ID) *Override {
	return create[OverrideSpec, OverrideExtension](OverrideType, id)
}

// OverrideExtension gives Override its definition.
type OverrideExtension struct{}

// DeepCopy implements typed.DeepCopyable.
func (s OverrideSpec) DeepCopy() OverrideSpec { return s }

func init() { register[OverrideSpec, OverrideExtension](OverrideType) }

// OverridePauseID is the id of the override for the whole node.
const OverridePauseID resource.ID = "node"

// RuleOverride is the name of the rule for a ceiling that a person requested. No rule of a configuration can have it.
const RuleOverride = "override"

// Kinds of overrides.
const (
	// OverridePause suspends all ceilings on the node and releases those in force.
	OverridePause = "pause"
	// OverrideRelease does the same for one target.
	OverrideRelease = "release"
	// OverrideThrottle sets a ceiling on one target. A lower ceiling of a rule takes precedence, except one that has yielded.
	OverrideThrottle = "throttle"
)

// OverrideSpec is the instruction.
type OverrideSpec struct {
	// Kind is pause, release or throttle.
	Kind string `yaml:"kind" protobuf:"1"`
	// CeilingMillicores of a throttle.
	CeilingMillicores int64 `yaml:"ceilingMillicores,omitempty" protobuf:"2"`
	// Since is when it began, Until when it ends by itself.
	Since time.Time `yaml:"since,omitempty" protobuf:"3"`
	Until time.Time `yaml:"until,omitempty" protobuf:"4"`
	// SinceClock and UntilClock are the same on CLOCK_BOOTTIME, by which it ends.
	SinceClock time.Duration `yaml:"sinceClock" protobuf:"5"`
	UntilClock time.Duration `yaml:"untilClock" protobuf:"6"`
	By         Person        `yaml:"by" protobuf:"7"`
	// Reason is the person's own text.
	Reason string `yaml:"reason,omitempty" protobuf:"8"`
	// Pretty has the values of columns as text.
	Pretty *Pretty `yaml:"pretty,omitempty" protobuf:"-"`
}

// Person is who requested something over the API.
type Person struct {
	// Subject of the client certificate (RFC 2253), or the user at the other end of the unix socket.
	Subject string `yaml:"subject" protobuf:"1"`
	// Fingerprint is the SHA-256 of the client certificate in hexadecimal digits; empty on the unix socket.
	Fingerprint string `yaml:"fingerprint,omitempty" protobuf:"2"`
	// From is the address it came from, and which guard forwarded it.
	From string `yaml:"from" protobuf:"3"`
}

// IsZero reports whether no person requested it.
func (p Person) IsZero() bool { return p == Person{} }

// IsZero reports whether there is no override.
func (s OverrideSpec) IsZero() bool { return s.Kind == "" }

// ResourceDefinition implements typed.Extension.
func (OverrideExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(OverrideType, []resource.Type{"override"},
		column("Kind", ".kind"), column("Ceiling", ".pretty.ceiling"), column("Until", ".until"),
		column("By", ".by.subject"), column("From", ".by.from"), column("Reason", ".reason"))
}
