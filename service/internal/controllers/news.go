//go:build linux

package controllers

import (
	"math"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// A resource is updated for its readers: when a value has moved by more than a twentieth, and by more than
// what is noise in its unit. Decisions are made on every sample, whatever is published.
const (
	moved = 0.05
	// heartbeat is how old a published reading may become: its time says that the guard is alive.
	heartbeat = 10 * time.Second
)

// Noise of each unit; that of signals is the policy's.
const (
	noisePackets = 5 // per second
	noiseMemory  = 256 << 10
	noiseCount   = 2
)

var noiseCores, noiseBytes, noiseShare = policy.Cores.Noise(), policy.BytesPerSecond.Noise(), policy.Ratio.Noise()

// changed tells whether a value is news to somebody who knows the one before.
func changed(before, after, noise float64) bool {
	difference := math.Abs(after - before)

	return difference > noise && difference > moved*math.Max(math.Abs(before), math.Abs(after))
}

func readingChanged(before, after *resources.Reading, noise float64) bool {
	return before.Provenance != after.Provenance || before.Reason != after.Reason || changed(before.Value, after.Value, noise)
}

// statsChanged tells whether a sample is news to somebody who knows the one before.
func statsChanged(before, after *resources.TargetStatsSpec) bool {
	if before.ContainerID != after.ContainerID || after.Clock-before.Clock >= heartbeat {
		return true
	}

	for _, reading := range [...]struct {
		before, after *resources.Reading
		noise         float64
	}{
		{&before.CPU, &after.CPU, noiseCores},
		{&before.CPUUser, &after.CPUUser, noiseCores},
		{&before.CPUSystem, &after.CPUSystem, noiseCores},
		{&before.ThrottledRatio, &after.ThrottledRatio, noiseShare},
		{&before.ThrottledTime, &after.ThrottledTime, noiseShare},
		{&before.CPUPressure, &after.CPUPressure, noiseShare},
		{&before.MemoryBytes, &after.MemoryBytes, noiseMemory},
		{&before.MemoryPeakBytes, &after.MemoryPeakBytes, noiseMemory},
		{&before.Pids, &after.Pids, noiseCount},
		{&before.TXBytesPerSecond, &after.TXBytesPerSecond, noiseBytes},
		{&before.RXBytesPerSecond, &after.RXBytesPerSecond, noiseBytes},
		{&before.TXPacketsPerSecond, &after.TXPacketsPerSecond, noisePackets},
		{&before.RXPacketsPerSecond, &after.RXPacketsPerSecond, noisePackets},
		{&before.TXDroppedPerSecond, &after.TXDroppedPerSecond, noisePackets},
		{&before.RXDroppedPerSecond, &after.RXDroppedPerSecond, noisePackets},
		{&before.Application.AllocBytesPerSecond, &after.Application.AllocBytesPerSecond, noiseBytes},
		{&before.Application.GCPerSecond, &after.Application.GCPerSecond, noiseShare},
		{&before.Application.HeapBytes, &after.Application.HeapBytes, noiseMemory},
		{&before.Application.Goroutines, &after.Application.Goroutines, noiseCount},
		{&before.Application.AdvertisedImages, &after.Application.AdvertisedImages, 0},
		{&before.Application.AdvertisedTags, &after.Application.AdvertisedTags, 0},
		{&before.Application.AdvertisedDigests, &after.Application.AdvertisedDigests, 0},
		{&before.Application.AdvertisedKeys, &after.Application.AdvertisedKeys, 0},
		{&before.Application.MirrorRequestsPerSecond, &after.Application.MirrorRequestsPerSecond, noiseShare},
		{&before.Application.MirrorHitRatio, &after.Application.MirrorHitRatio, noiseShare},
	} {
		if readingChanged(reading.before, reading.after, reading.noise) {
			return true
		}
	}

	return false
}

// ruleChanged tells whether a rule's outcome is news. The time until it fires is counted in seconds.
func ruleChanged(before, after *resources.RuleStatusSpec) bool {
	return before.Signal != after.Signal || before.State != after.State || before.Threshold != after.Threshold ||
		before.Reason != after.Reason || before.Mode != after.Mode ||
		changed(before.Value, after.Value, policy.Signal(after.Signal).Unit().Noise()) ||
		changed(before.Credit, after.Credit, noiseShare) ||
		before.TripsIn.Truncate(time.Second) != after.TripsIn.Truncate(time.Second)
}
