// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"math"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// A resource is updated when a value moved by more than a twentieth and by more than the noise of its unit. Decisions
// are made on every sample, whatever is published.
const (
	moved = 0.05
	// heartbeat is how old a published sample may become: its time shows that the guard is alive.
	heartbeat = 10 * time.Second
)

// Noise of what is no signal; the policy has the noise of signals.
const (
	noisePackets = 5 // per second
	noiseMemory  = 256 << 10
	noiseCount   = 2
	noiseResolve = 0.005 // seconds
)

var noiseCores, noiseBytes, noiseRatio = policy.Cores.Noise(), policy.BytesPerSecond.Noise(), policy.Ratio.Noise()

// Changed reports whether a value differs significantly from the one before; noise is in its unit.
func Changed(before, after, noise float64) bool {
	difference := math.Abs(after - before)

	return difference > noise && difference > moved*math.Max(math.Abs(before), math.Abs(after))
}

func readingChanged(before, after *resources.Reading, noise float64) bool {
	return before.Provenance != after.Provenance || before.Reason != after.Reason || Changed(before.Value, after.Value, noise)
}

// Significant reports whether a sample differs significantly from the one before.
func Significant(before, after *resources.TargetStatsSpec) bool {
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
		{&before.ThrottledRatio, &after.ThrottledRatio, noiseRatio},
		{&before.ThrottledTime, &after.ThrottledTime, noiseRatio},
		{&before.CPUPressure, &after.CPUPressure, noiseRatio},
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
		{&before.Application.GCPerSecond, &after.Application.GCPerSecond, noiseRatio},
		{&before.Application.HeapBytes, &after.Application.HeapBytes, noiseMemory},
		{&before.Application.Goroutines, &after.Application.Goroutines, noiseCount},
		{&before.Application.AdvertisedImages, &after.Application.AdvertisedImages, 0},
		{&before.Application.AdvertisedTags, &after.Application.AdvertisedTags, 0},
		{&before.Application.AdvertisedDigests, &after.Application.AdvertisedDigests, 0},
		{&before.Application.AdvertisedKeys, &after.Application.AdvertisedKeys, 0},
		{&before.Application.AdvertisedContentDigests, &after.Application.AdvertisedContentDigests, 0},
		{&before.Application.MirrorRequestsPerSecond, &after.Application.MirrorRequestsPerSecond, noiseRatio},
		{&before.Application.MirrorHitsPerSecond, &after.Application.MirrorHitsPerSecond, noiseRatio},
		{&before.Application.MirrorHitRatio, &after.Application.MirrorHitRatio, noiseRatio},
		{&before.Application.MirrorLastSuccess, &after.Application.MirrorLastSuccess, noiseCount},
		{&before.Application.ResolveSeconds, &after.Application.ResolveSeconds, noiseResolve},
		{&before.Application.Ready, &after.Application.Ready, 0},
	} {
		if readingChanged(reading.before, reading.after, reading.noise) {
			return true
		}
	}

	return false
}
