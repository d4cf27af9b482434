// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/trace"
	"github.com/spegel-guard/spegel-guard/test/node"
)

const tracePath = "/run/spegel-guard/trace.jsonl"

// traced makes the guard record every sample. Resources are updated only when a value moved significantly.
const traced = "trace: {path: " + tracePath + "}\n"

// pace describes the times between samples of a container.
type pace struct {
	samples         int
	median, longest time.Duration
}

// waitSamples waits until a container has a number of samples, at least two, since a time of CLOCK_BOOTTIME.
func waitSamples(t *testing.T, pod *node.Pod, since time.Duration, count int) pace {
	t.Helper()

	at := waitSampleTimes(t, pod, since, count)
	gaps := make([]time.Duration, 0, len(at))

	for i := range at[1:] {
		gaps = append(gaps, at[i+1]-at[i])
	}

	slices.Sort(gaps)

	return pace{samples: len(at), median: gaps[len(gaps)/2], longest: gaps[len(gaps)-1]}
}

// waitSampleTimes waits until a container has a number of samples since a time of CLOCK_BOOTTIME, and returns their times.
func waitSampleTimes(t *testing.T, pod *node.Pod, since time.Duration, count int) (at []time.Duration) {
	t.Helper()

	require.Eventually(t, func() bool {
		at = sampleTimes(t, pod, since)

		return len(at) >= count
	}, patience, 100*time.Millisecond, "the guard does not sample the container")

	return at
}

// sampleTimes returns the times of a container's samples as CLOCK_BOOTTIME.
func sampleTimes(t *testing.T, pod *node.Pod, since time.Duration) (at []time.Duration) {
	t.Helper()

	file, err := os.Open(tracePath)
	if os.IsNotExist(err) {
		return nil
	}

	require.NoError(t, err)

	defer file.Close()

	for line, err := range trace.Read(file) {
		require.NoError(t, err)

		if line.Sample != nil && line.Sample.Container == pod.ContainerID && line.Sample.At >= since {
			at = append(at, line.Sample.At)
		}
	}

	return at
}

// steady compares the pace with an earlier one of the same machine, which has delayed a process that does nothing by late since. A
// sampler that waits would be many times slower. Single late samples are due to the machine.
func (p pace) steady(t *testing.T, before pace, late time.Duration) {
	t.Helper()
	assert.Less(t, p.median, 2*before.median+late, "the samples are delayed: %+v, before %+v; of the machine: %s", p, before, late)
}
