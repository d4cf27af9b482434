// SPDX-License-Identifier: MPL-2.0

package resources

import (
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/resource/typed"
)

// TargetStatsType is the type of TargetStats.
const TargetStatsType = resource.Type("TargetStats.spegelguard.dev")

// TargetStats is the newest reading of a target; its id is the target's.
type TargetStats = typed.Resource[TargetStatsSpec, TargetStatsExtension]

// NewTargetStats returns an empty TargetStats.
func NewTargetStats(id resource.ID) *TargetStats {
	return create[TargetStatsSpec, TargetStatsExtension](TargetStatsType, id)
}

// TargetStatsExtension gives TargetStats its definition.
type TargetStatsExtension struct{}

// DeepCopy implements typed.DeepCopyable.
func (s TargetStatsSpec) DeepCopy() TargetStatsSpec { return s }

func init() { register[TargetStatsSpec, TargetStatsExtension](TargetStatsType) }

// Counters are the kernel's cumulative values that the readings are made of.
type Counters struct {
	UsageUsec     uint64 `yaml:"usageUsec" protobuf:"1"`
	Periods       uint64 `yaml:"nrPeriods" protobuf:"2"`
	Throttled     uint64 `yaml:"nrThrottled" protobuf:"3"`
	ThrottledUsec uint64 `yaml:"throttledUsec" protobuf:"4"`
	TXBytes       uint64 `yaml:"txBytes" protobuf:"5"`
	RXBytes       uint64 `yaml:"rxBytes" protobuf:"6"`
	PressureUsec  uint64 `yaml:"pressureUsec" protobuf:"7"`
	UserUsec      uint64 `yaml:"userUsec" protobuf:"8"`
	SystemUsec    uint64 `yaml:"systemUsec" protobuf:"9"`
	TXPackets     uint64 `yaml:"txPackets" protobuf:"10"`
	RXPackets     uint64 `yaml:"rxPackets" protobuf:"11"`
	TXDropped     uint64 `yaml:"txDropped" protobuf:"12"`
	RXDropped     uint64 `yaml:"rxDropped" protobuf:"13"`
	// What memory.events counts: reached memory.high and memory.max, failed allocations, killed processes.
	MemoryHigh    uint64 `yaml:"memoryHigh" protobuf:"14"`
	MemoryMax     uint64 `yaml:"memoryMax" protobuf:"15"`
	MemoryOOM     uint64 `yaml:"memoryOOM" protobuf:"16"`
	MemoryOOMKill uint64 `yaml:"memoryOOMKill" protobuf:"17"`
}

// TargetStatsSpec is one sample.
type TargetStatsSpec struct {
	// ContainerID the sample was taken of.
	ContainerID string `yaml:"containerID" protobuf:"1"`
	// At is when, Clock the same on CLOCK_BOOTTIME, which never jumps.
	At    time.Time     `yaml:"at,omitempty" protobuf:"2"`
	Clock time.Duration `yaml:"clock" protobuf:"3"`
	// CPU in cores, since the sample before.
	CPU Reading `yaml:"cpu" protobuf:"4"`
	// ThrottledRatio is the share of enforcement periods with throttling, 0..1.
	ThrottledRatio Reading `yaml:"throttledRatio" protobuf:"5"`
	// MemoryBytes is memory.current.
	MemoryBytes Reading `yaml:"memoryBytes" protobuf:"6"`
	// TXBytesPerSecond and RXBytesPerSecond over all links of the pod but loopback.
	TXBytesPerSecond Reading  `yaml:"txBytesPerSecond" protobuf:"7"`
	RXBytesPerSecond Reading  `yaml:"rxBytesPerSecond" protobuf:"8"`
	Counters         Counters `yaml:"counters" protobuf:"9"`
	// CPUPressure is the share of time in which some task waited for a processor, 0..1.
	CPUPressure Reading `yaml:"cpuPressure" protobuf:"10"`
	// CPUUser and CPUSystem are the parts of CPU in the program and in the kernel on its behalf, in cores.
	CPUUser   Reading `yaml:"cpuUser" protobuf:"11"`
	CPUSystem Reading `yaml:"cpuSystem" protobuf:"12"`
	// ThrottledTime is what a limit held back, in seconds per second: those of several processors add up.
	ThrottledTime Reading `yaml:"throttledTime" protobuf:"13"`
	// MemoryPeakBytes is memory.peak, Pids pids.current.
	MemoryPeakBytes Reading `yaml:"memoryPeakBytes" protobuf:"14"`
	Pids            Reading `yaml:"pids" protobuf:"15"`
	// Packets over the same links as the bytes, and those that were dropped.
	TXPacketsPerSecond Reading          `yaml:"txPacketsPerSecond" protobuf:"16"`
	RXPacketsPerSecond Reading          `yaml:"rxPacketsPerSecond" protobuf:"17"`
	TXDroppedPerSecond Reading          `yaml:"txDroppedPerSecond" protobuf:"18"`
	RXDroppedPerSecond Reading          `yaml:"rxDroppedPerSecond" protobuf:"19"`
	Application        ApplicationStats `yaml:"application" protobuf:"20"`
	// Pretty has the values of columns as text.
	Pretty *Pretty `yaml:"pretty,omitempty" protobuf:"-"`
}

// ApplicationStats has the application metrics, which are read less often than the rest.
type ApplicationStats struct {
	// Clock is when they were requested, on CLOCK_BOOTTIME.
	Clock time.Duration `yaml:"clock" protobuf:"1"`
	// Allocated is the cumulative value that AllocBytesPerSecond is made of, in bytes.
	Allocated           float64 `yaml:"allocated" protobuf:"2"`
	AllocBytesPerSecond Reading `yaml:"allocBytesPerSecond" protobuf:"3"`
	// GCPerSecond counts cycles of garbage collection, HeapBytes is what is in use.
	GCPerSecond Reading `yaml:"gcPerSecond" protobuf:"4"`
	HeapBytes   Reading `yaml:"heapBytes" protobuf:"5"`
	Goroutines  Reading `yaml:"goroutines" protobuf:"6"`
	// What spegel advertises to its peers, over all registries.
	AdvertisedImages  Reading `yaml:"advertisedImages" protobuf:"7"`
	AdvertisedTags    Reading `yaml:"advertisedTags" protobuf:"8"`
	AdvertisedDigests Reading `yaml:"advertisedDigests" protobuf:"9"`
	AdvertisedKeys    Reading `yaml:"advertisedKeys" protobuf:"10"`
	// MirrorRequestsPerSecond are requests for content that the node does not have, MirrorHitRatio the share of them that a
	// peer served, 0..1.
	MirrorRequestsPerSecond Reading `yaml:"mirrorRequestsPerSecond" protobuf:"11"`
	MirrorHitRatio          Reading `yaml:"mirrorHitRatio" protobuf:"12"`
	// AdvertisedContentDigests is what spegel advertises since v0.6 instead of AdvertisedKeys.
	AdvertisedContentDigests Reading `yaml:"advertisedContentDigests" protobuf:"13"`
	MirrorHitsPerSecond      Reading `yaml:"mirrorHitsPerSecond" protobuf:"14"`
	// MirrorRequests and MirrorHits are the cumulative values that these rates are made of.
	MirrorRequests float64 `yaml:"mirrorRequests" protobuf:"15"`
	MirrorHits     float64 `yaml:"mirrorHits" protobuf:"16"`
	// MirrorLastSuccess is when a peer last served a request, as Unix time in seconds.
	MirrorLastSuccess Reading `yaml:"mirrorLastSuccess" protobuf:"17"`
	// ResolveSeconds is the mean time from a lookup to a peer that it found, since the answer before.
	ResolveSeconds Reading `yaml:"resolveSeconds" protobuf:"18"`
	// Ready is 1 when the target answered that it is ready, 0 when not. UnreadySeconds is how long it was not, since the
	// guard follows it.
	Ready          Reading `yaml:"ready" protobuf:"19"`
	UnreadySeconds float64 `yaml:"unreadySeconds" protobuf:"20"`
}

// ResourceDefinition implements typed.Extension.
func (TargetStatsExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(TargetStatsType, []resource.Type{"targetstat"},
		column("CPU", ".pretty.cpu"), column("Throttled", ".pretty.throttled"), column("Memory", ".pretty.memory"),
		column("TX", ".pretty.tx"), column("RX", ".pretty.rx"), column("Alloc", ".pretty.allocation"))
}
