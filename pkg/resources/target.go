// SPDX-License-Identifier: MPL-2.0

package resources

import (
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/typed"
)

// TargetType is the type of Target.
const TargetType = resource.Type("Targets.spegelguard.dev")

// Target is a container to guard; its id is the workload: <namespace>/<pod>/<container>.
type Target = typed.Resource[TargetSpec, TargetExtension]

// NewTarget returns an empty Target.
func NewTarget(id resource.ID) *Target {
	return create[TargetSpec, TargetExtension](TargetType, id)
}

// TargetExtension gives Target its definition.
type TargetExtension struct{}

// DeepCopy implements typed.DeepCopyable.
func (s TargetSpec) DeepCopy() TargetSpec { return s }

func init() { register[TargetSpec, TargetExtension](TargetType) }

// TargetSpec identifies the container and where to find it in the kernel.
type TargetSpec struct {
	ContainerID string `yaml:"containerID" protobuf:"1"`
	PodUID      string `yaml:"podUID" protobuf:"2"`
	// PID of the first process, in the node's PID namespace.
	PID int64 `yaml:"pid" protobuf:"3"`
	// PIDStartTime in clock ticks after boot (/proc/<pid>/stat), so that a pid used again is noticed.
	PIDStartTime uint64 `yaml:"pidStartTime" protobuf:"4"`
	// Cgroup path relative to the root of the unified hierarchy, and its inode.
	Cgroup      string `yaml:"cgroup" protobuf:"5"`
	CgroupInode uint64 `yaml:"cgroupInode" protobuf:"6"`
	// NetNSInode identifies the network namespace; HostNetwork tells that it is the node's own.
	NetNSInode  uint64 `yaml:"netnsInode" protobuf:"7"`
	HostNetwork bool   `yaml:"hostNetwork" protobuf:"8"`
	Image       string `yaml:"image" protobuf:"9"`
	// Started is when the first process started, to the hundredth of a second, and StartedClock the same on CLOCK_BOOTTIME.
	Started      time.Time     `yaml:"started,omitempty" protobuf:"10"`
	StartedClock time.Duration `yaml:"startedClock" protobuf:"12"`
	// Source that found the container: machined, cri or procfs.
	Source string `yaml:"source" protobuf:"11"`
}

// ResourceDefinition implements typed.Extension.
func (TargetExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(TargetType, []resource.Type{"target"},
		column("PID", ".pid"), column("Cgroup", ".cgroup"), column("Source", ".source"), column("Started", ".started"))
}
