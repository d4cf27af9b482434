// SPDX-License-Identifier: MPL-2.0

package resources

import (
	"slices"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/typed"
)

// GuardConfigType is the type of GuardConfig.
const GuardConfigType = resource.Type("GuardConfigs.spegelguard.dev")

// GuardConfig is the configuration in force; its id is GuardConfigID.
type GuardConfig = typed.Resource[GuardConfigSpec, GuardConfigExtension]

// NewGuardConfig returns an empty GuardConfig.
func NewGuardConfig(id resource.ID) *GuardConfig {
	return create[GuardConfigSpec, GuardConfigExtension](GuardConfigType, id)
}

// GuardConfigExtension gives GuardConfig its definition.
type GuardConfigExtension struct{}

// DeepCopy implements typed.DeepCopyable.
func (s GuardConfigSpec) DeepCopy() GuardConfigSpec {
	s.Settings = slices.Clone(s.Settings)

	return s
}

func init() { register[GuardConfigSpec, GuardConfigExtension](GuardConfigType) }

// GuardConfigID is the id of the only GuardConfig.
const GuardConfigID resource.ID = "active"

// GuardConfigSpec holds the configuration in force.
type GuardConfigSpec struct {
	// Mode is observe or enforce.
	Mode string `yaml:"mode" protobuf:"1"`
	// Source is the file the document came from, or "defaults".
	Source string `yaml:"source" protobuf:"2"`
	// Document is the whole configuration with all defaults filled in, as pkg/config reads it.
	Document string `yaml:"document" protobuf:"3"`
	// LastError is why the newest document was not taken; empty when it was.
	LastError string `yaml:"lastError" protobuf:"4"`
	// Settings are the values of Document, each with its origin.
	Settings []ConfigSetting `yaml:"settings" protobuf:"5"`
}

// OriginDefault is the origin of a value that no document has.
const OriginDefault = "default"

// ConfigSetting is one value in force.
type ConfigSetting struct {
	// Field as a path: rules[0].threshold.
	Field string `yaml:"field" protobuf:"1"`
	Value string `yaml:"value" protobuf:"2"`
	// Origin is the line of the document that it is written in ("line 4"), or OriginDefault.
	Origin string `yaml:"origin" protobuf:"3"`
}

// ResourceDefinition implements typed.Extension.
func (GuardConfigExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(GuardConfigType, []resource.Type{"guardconfig"},
		column("Mode", ".mode"), column("Source", ".source"), column("Last error", ".lastError"))
}
