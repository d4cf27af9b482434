// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/test/node"
)

// latencyRounds is how often each cpu.max is measured, in turns, and latencyTime how long each time. A pause of the machine is in few
// rounds only. The figures of docs/adr/0012-period-of-the-owner.md are of three rounds of ten seconds.
const (
	latencyRounds = 5
	latencyTime   = 300 * time.Millisecond
)

// latencies is what a pod did under one cpu.max.
type latencies struct {
	answers []time.Duration
	used    counted
	keys    uint64
	over    time.Duration
	// stopped is of each round the share of the time in which the quota was used up, of all processors together. stop is how long
	// it was used up at once, on average, in microseconds.
	stopped, stop []float64
}

// percentile returns the latency that a share of the answers did not exceed.
func (a *latencies) percentile(share float64) time.Duration {
	slices.Sort(a.answers)

	return a.answers[int(share*float64(len(a.answers)-1))].Round(100 * time.Microsecond)
}

func (a *latencies) cores() float64 { return float64(a.used.usage) / float64(a.over.Microseconds()) }

// keysPerCoreSecond is the work that the workload does for its CPU time.
func (a *latencies) keysPerCoreSecond() float64 {
	return float64(a.keys) / (float64(a.used.usage) / 1e6)
}

// median returns the median of the rounds. The answers are measured beside them and not compared: half of them are no shorter on a
// fast machine, which answers before the quota is used up.
func median(rounds []float64) float64 {
	slices.Sort(rounds)

	return rounds[len(rounds)/2]
}

// TestPeriod_Latency measures the answers of a workload under the same share of a core in shorter and shorter periods: a
// shorter one stops the workload for less time at once, and throttles one that has calmed down more often.
func TestPeriod_Latency(t *testing.T) {
	const usual, short = "50000 100000", "10000 20000"

	limits := []string{unlimited, usual, "25000 50000", short, "5000 10000"}
	n := testNode(t)

	for _, test := range []struct {
		name  string
		load  map[string]any
		check func(t *testing.T, measured map[string]*latencies)
	}{
		{name: "sustained", load: map[string]any{"mode": "sustained", "workers": 2}},
		{name: "spinning", load: map[string]any{"mode": "spinning"}, check: func(t *testing.T, measured map[string]*latencies) {
			assert.Less(t, median(measured[short].stop), median(measured[usual].stop), "how long it is stopped at once")
		}},
		// Bursts of 20 ms, far below the ceiling.
		{
			name: "calm", load: map[string]any{"mode": "healthy", "blobs": 3000, "cost": 20 * time.Millisecond},
			check: func(t *testing.T, measured map[string]*latencies) {
				assert.Greater(t, median(measured[short].stopped), median(measured[usual].stopped), "throttled time")
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			pod := runPod(t, n, node.SpegelPod("spegel-latency"))
			require.NoError(t, pod.Steer(t.Context(), test.load))

			measured := map[string]*latencies{}

			for range latencyRounds {
				for _, limit := range limits {
					if measured[limit] == nil {
						measured[limit] = &latencies{}
					}

					require.NoError(t, node.SetCPUMax(pod.Cgroup, limit))
					measured[limit].measure(t, pod)
				}
			}

			t.Logf("| cpu.max | requests | p50 | p95 | p99 | max | cores | keys per core-second | throttled periods per second | throttled time |")

			for _, limit := range limits {
				a := measured[limit]
				t.Logf("| `%s` | %d | %s | %s | %s | %s | %.3f | %.0f | %.1f of %.1f | %.1f %% |", limit, len(a.answers),
					a.percentile(0.5), a.percentile(0.95), a.percentile(0.99), a.percentile(1), a.cores(), a.keysPerCoreSecond(),
					float64(a.used.throttled)/a.over.Seconds(), float64(a.used.periods)/a.over.Seconds(),
					100*float64(a.used.stopped)/float64(a.over.Microseconds()))
			}

			if test.check != nil {
				test.check(t, measured)
			}
		})
	}
}

// measure asks the pod for a while, at random moments of its period.
func (a *latencies) measure(t *testing.T, pod *node.Pod) {
	t.Helper()

	a.get(t, pod)

	before, start := count(t, pod), time.Now()
	keys, _ := a.get(t, pod)

	now, took := keys, time.Duration(0)

	// One answer may take longer than the round.
	for len(a.answers) == 0 || time.Since(start) < latencyTime {
		// On a slow machine an answer costs much CPU time. The answers must not cost more than the load of a calm workload.
		time.Sleep(rand.N(50*time.Millisecond) + min(4*took, 200*time.Millisecond))

		now, took = a.get(t, pod)
		a.answers = append(a.answers, took)
	}

	used, over := count(t, pod).since(before), time.Since(start)

	a.stopped = append(a.stopped, float64(used.stopped)/float64(over.Microseconds()))
	a.stop = append(a.stop, float64(used.stopped)/float64(max(used.throttled, 1)))

	a.used.usage += used.usage
	a.used.periods += used.periods
	a.used.throttled += used.throttled
	a.used.stopped += used.stopped
	a.over += over
	a.keys += now - keys
}

// get returns the workload's count of keys, and how long the answer took.
func (a *latencies) get(t *testing.T, pod *node.Pod) (keys uint64, took time.Duration) {
	t.Helper()

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+pod.IP+":9090/stats", http.NoBody)
	require.NoError(t, err)

	start := time.Now()

	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)

	defer response.Body.Close()

	var stats struct{ Keys uint64 }

	require.NoError(t, json.NewDecoder(response.Body).Decode(&stats))

	return stats.Keys, time.Since(start)
}
