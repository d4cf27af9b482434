// SPDX-License-Identifier: MPL-2.0

package resources

import (
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/typed"
)

// VerdictType is the type of Verdict.
const VerdictType = resource.Type("Verdicts.spegelguard.dev")

// Verdict is what the target's last lifted ceiling did; its id is the target's.
type Verdict = typed.Resource[VerdictSpec, VerdictExtension]

// NewVerdict returns an empty Verdict.
func NewVerdict(id resource.ID) *Verdict {
	return create[VerdictSpec, VerdictExtension](VerdictType, id)
}

// VerdictExtension gives Verdict its definition.
type VerdictExtension struct{}

// DeepCopy implements typed.DeepCopyable.
func (s VerdictSpec) DeepCopy() VerdictSpec { return s }

func init() { register[VerdictSpec, VerdictExtension](VerdictType) }

// Usage is what the workload used over some time.
type Usage struct {
	Over           time.Duration `yaml:"over" protobuf:"1"`
	CoreSeconds    float64       `yaml:"coreSeconds" protobuf:"2"`
	TXBytes        float64       `yaml:"txBytes" protobuf:"3"`
	RXBytes        float64       `yaml:"rxBytes" protobuf:"4"`
	AllocatedBytes float64       `yaml:"allocatedBytes" protobuf:"5"`
	// ThrottledSeconds is the throttled time, summed over all CPUs.
	ThrottledSeconds float64 `yaml:"throttledSeconds" protobuf:"6"`
	// MirrorRequests is the number of mirror requests, MirrorHits the number of them that a peer served, UnreadySeconds the time in
	// which the target was not ready. Each is 0 if it is unavailable.
	MirrorRequests float64 `yaml:"mirrorRequests" protobuf:"7"`
	MirrorHits     float64 `yaml:"mirrorHits" protobuf:"8"`
	UnreadySeconds float64 `yaml:"unreadySeconds" protobuf:"9"`
	// AllocatedOver is the time in which AllocatedBytes were allocated: application metrics are read less often.
	AllocatedOver time.Duration `yaml:"allocatedOver" protobuf:"10"`
}

// VerdictSpec compares the workload before, under and after a ceiling.
type VerdictSpec struct {
	At   time.Time `yaml:"at,omitempty" protobuf:"1"`
	Rule string    `yaml:"rule" protobuf:"2"`
	// Outcome is ended, contained, no effect, harmed or unknown, for the reason given.
	Outcome string `yaml:"outcome" protobuf:"3"`
	Reason  string `yaml:"reason" protobuf:"4"`
	// FailedProbes is how many probes in a row have measured the breach again.
	FailedProbes uint64 `yaml:"failedProbes" protobuf:"5"`
	// During begins when the ceiling was written. After is the probe, or what followed the release.
	Before Usage `yaml:"before" protobuf:"6"`
	During Usage `yaml:"during" protobuf:"7"`
	After  Usage `yaml:"after" protobuf:"8"`
	// Clock is At on CLOCK_BOOTTIME.
	Clock time.Duration `yaml:"clock" protobuf:"9"`
}

// ResourceDefinition implements typed.Extension.
func (VerdictExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(VerdictType, []resource.Type{"verdict"},
		column("Rule", ".rule"), column("Outcome", ".outcome"), column("Failed probes", ".failedProbes"), column("Reason", ".reason"))
}
