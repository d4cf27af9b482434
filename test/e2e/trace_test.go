//go:build linux

package e2e

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
	"github.com/spegel-guard/spegel-guard/test/node"
)

const tracePath = "/run/spegel-guard/trace.jsonl"

// traced makes the guard write down every sample; clients hear only of those that are news.
const traced = "trace: {path: " + tracePath + "}\n"

// longestGapOver is the longest time between two samples from now on.
func longestGapOver(t *testing.T, pod *node.Pod, over time.Duration) time.Duration {
	t.Helper()

	began := boottime.Now()

	time.Sleep(over)

	longest, samples := longestGap(t, pod, began, boottime.Now())
	require.NotZero(t, samples, "there was no sample")

	return longest
}

// longestGap is the longest time between two samples of a container, and how many there were. The times at both
// ends count: what is still missing is late.
func longestGap(t *testing.T, pod *node.Pod, from, until time.Duration) (longest time.Duration, samples int) {
	t.Helper()

	file, err := os.Open(tracePath)
	require.NoError(t, err)

	defer file.Close()

	last := from

	for line, err := range trace.Read(file) {
		require.NoError(t, err)

		if line.Sample == nil || line.Sample.Container != pod.ContainerID || line.Sample.At < from || line.Sample.At > until {
			continue
		}

		if last != 0 {
			longest = max(longest, line.Sample.At-last)
		}

		last = line.Sample.At
		samples++
	}

	return max(longest, until-last), samples
}
