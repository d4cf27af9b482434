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

// Provenances of a reading.
const (
	// Measured: the difference of two readings of a kernel counter.
	Measured = "measured"
	// Derived: calculated from something else that was measured.
	Derived = "derived"
	// Blind: not known, for the reason given.
	Blind = "blind"
)

// Reading is a value and where it comes from.
type Reading struct {
	Value      float64 `yaml:"value" protobuf:"1"`
	Provenance string  `yaml:"provenance" protobuf:"2"`
	// Reason a blind value is not known.
	Reason string `yaml:"reason,omitempty" protobuf:"3"`
}

// Counters are the kernel's cumulative values that the readings are made of.
type Counters struct {
	UsageUsec     uint64 `yaml:"usageUsec" protobuf:"1"`
	Periods       uint64 `yaml:"nrPeriods" protobuf:"2"`
	Throttled     uint64 `yaml:"nrThrottled" protobuf:"3"`
	ThrottledUsec uint64 `yaml:"throttledUsec" protobuf:"4"`
	TXBytes       uint64 `yaml:"txBytes" protobuf:"5"`
	RXBytes       uint64 `yaml:"rxBytes" protobuf:"6"`
	PressureUsec  uint64 `yaml:"pressureUsec" protobuf:"7"`
}

// TargetStatsSpec is one sample.
type TargetStatsSpec struct {
	// ContainerID the sample was taken of.
	ContainerID string `yaml:"containerID" protobuf:"1"`
	// At is when, Clock the same on CLOCK_BOOTTIME, which never jumps.
	At    time.Time     `yaml:"at" protobuf:"2"`
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
}

// ResourceDefinition implements typed.Extension.
func (TargetStatsExtension) ResourceDefinition() meta.ResourceDefinitionSpec {
	return definition(TargetStatsType, []resource.Type{"targetstat"},
		column("CPU", ".cpu.value"), column("Throttled", ".throttledRatio.value"), column("Memory", ".memoryBytes.value"),
		column("TX B/s", ".txBytesPerSecond.value"), column("RX B/s", ".rxBytesPerSecond.value"))
}
