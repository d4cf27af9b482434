// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/controller/runtime"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// BenchmarkReaction measures the time from a sample that completes a breach until the ceiling is written to a cgroup in memory,
// with the policy, the enforcer and the saved state as in the service. The target takes 8 ms for an answer of 60 kB. It reports
// the median and the 99th percentile: run it with -benchtime 500x.
func BenchmarkReaction(b *testing.B) {
	for name, limit := range map[string]string{"without evidence": "0", "with evidence": "4M"} {
		b.Run(name, func(b *testing.B) { benchmarkReaction(b, limit) })
	}
}

func benchmarkReaction(b *testing.B, limit string) {
	document := "interval: 100ms\nrules: [{name: R, signal: cpu, threshold: 100m, for: 0s, window: 1s}]\nevidence: {limit: " + limit + "}\n"

	run, err := os.MkdirTemp("/dev/shm", "reaction") // as /run
	require.NoError(b, err)
	b.Cleanup(func() { os.RemoveAll(run) })

	st, feed, node := newState(b), observe.NewFeed(), enforcetest.NewNode()
	page := make([]byte, 60<<10)
	target := &asked{handler: func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(8 * time.Millisecond)
		w.Write(page)
	}}
	free := &lock{}

	ceilings := &CeilingController{
		Node: node.Enforce(), Lock: free, Initial: config.Default(), Feed: feed, Evidence: &record.Evidence{Dir: filepath.Join(run, "evidence")},
		Reaction: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "r"}), Log: record.NewActions(st, zap.NewNop()),
		Source: func(resources.TargetSpec) observe.Source {
			return observe.Source{Namespace: func() (observe.Namespace, error) { return target, nil }}
		},
	}
	ceilings.Orphans = enforce.NewOrphans(ceilings.Node, free, zap.NewNop())

	engine, err := runtime.NewRuntime(st, zap.NewNop())
	require.NoError(b, err)
	require.NoError(b, engine.RegisterController(ceilings))
	require.NoError(b, engine.RegisterController(&PolicyController{
		Feed: feed, Urgent: ceilings.Wake, History: &record.History{}, Leases: &enforce.Leases{},
		State: persist.File[persist.Workload]{Path: filepath.Join(run, "state.json"), BootID: "boot"},
	}))

	go engine.Run(b.Context())

	active := resources.NewGuardConfig(resources.GuardConfigID)
	active.TypedSpec().Document = document
	require.NoError(b, st.Create(b.Context(), active))

	var taken []time.Duration

	for b.Loop() {
		taken = append(taken, trip(b, len(taken), feed, node, st, page))
	}

	slices.Sort(taken)
	b.ReportMetric(float64(taken[len(taken)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(taken[(len(taken)*99+99)/100-1].Microseconds()), "p99-us")
}

// trip lets another pod breach the rule and returns the time until its ceiling is written.
func trip(b *testing.B, number int, feed *observe.Feed, node *enforcetest.Node, st state.State, page []byte) time.Duration {
	b.Helper()

	id, path := fmt.Sprintf("spegel/spegel-%d/registry", number), fmt.Sprintf("kubepods/pod%d/c1", number)
	written := make(chan time.Duration, 1)
	cgroup := node.Create(path, enforcetest.Unlimited, 7)
	cgroup.OnApply(func() { written <- boottime.Now() })

	pod := resources.NewTarget(id)
	*pod.TypedSpec() = resources.TargetSpec{ContainerID: id, Cgroup: path, CgroupInode: 7, PID: 1}
	require.NoError(b, st.Create(b.Context(), pod))

	stats := resources.TargetStatsSpec{ContainerID: id, Clock: boottime.Now() - time.Second}
	answer := observe.Answer{Clock: stats.Clock, Text: page}
	feed.Put(id, &stats, answer)
	feed.Wake()

	require.Eventually(b, func() bool {
		_, err := st.Get(b.Context(), resources.NewDesiredCeiling(id).Metadata())

		return err == nil
	}, patience, time.Millisecond)
	time.Sleep(5 * time.Millisecond) // until both controllers are idle

	stats.Counters.UsageUsec, stats.Clock = 1e6, boottime.Now()
	feed.Put(id, &stats, answer)
	feed.Wake()

	took := <-written - stats.Clock

	require.NoError(b, st.Destroy(b.Context(), pod.Metadata()))
	feed.Remove(id)

	return took
}
