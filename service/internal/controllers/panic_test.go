// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
)

// TestRuntime_RestartsAPanickingController: the others go on meanwhile.
func TestRuntime_RestartsAPanickingController(t *testing.T) {
	var panics atomic.Int64

	feed := observe.NewFeed()
	duration := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "d"})
	m := &machine{answer: discover.Answer{Containers: []discover.Container{running("c1", 10)}}, ended: map[int64]bool{}}

	s := newSuite(t, newState(t),
		&TargetController{Node: panickingNode{machine: m, panics: &panics}, Sources: []discover.Source{m}},
		&SampleController{Source: broken, Feed: feed, Duration: duration},
	)

	s.configure("interval: 100ms\ntarget: {metrics: {port: 0}}\n")
	await(s, resources.NewTargetStats(targetID), func(resources.TargetStatsSpec) bool { return true })
	assert.EqualValues(t, 2, panics.Load())
}

// panickingNode panics twice.
type panickingNode struct {
	*machine

	panics *atomic.Int64
}

func (n panickingNode) CheckRoot() error {
	if n.panics.Load() < 2 {
		n.panics.Add(1)

		panic("no root")
	}

	return n.machine.CheckRoot()
}

// TestSampleController_GoesOnAfterPanics: one target panics at each sample, and the other one is sampled.
func TestSampleController_GoesOnAfterPanics(t *testing.T) {
	source := func(target resources.TargetSpec) observe.Source {
		source := broken(target)

		if target.ContainerID == "bad" {
			source.Cgroup = func() (observe.CgroupReader, error) { panic("cgroup") }
			source.Namespace = func() (observe.Namespace, error) { panic("namespace") }
		}

		return source
	}

	s := newSuite(t, newState(t), &SampleController{
		Source: source, Feed: observe.NewFeed(), Duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "d"}),
	})
	s.configure("interval: 100ms\ntarget: {metrics: {port: 0}}\n")

	for id, container := range map[string]string{"a/a/a": "bad", "b/b/b": "good"} {
		put(s, resources.NewTarget(id), func(spec *resources.TargetSpec) { spec.ContainerID = container })
	}

	bad := await(s, resources.NewTargetStats("a/a/a"), func(spec resources.TargetStatsSpec) bool { return spec.Clock != 0 })
	assert.Contains(t, bad.CPU.Reason, "internal error")
	assert.Contains(t, bad.TXBytesPerSecond.Reason, "internal error")

	good := await(s, resources.NewTargetStats("b/b/b"), func(spec resources.TargetStatsSpec) bool { return spec.Clock != 0 })
	assert.Equal(t, resources.Unavailable("no cgroup"), good.CPU)
}

// TestCeilingController_ReleasesAfterAPanic: the write panics, its ceiling is tried again, and the stop restores the owner's limit.
func TestCeilingController_ReleasesAfterAPanic(t *testing.T) {
	e := newEnforcing(t, enforceDoc, enforcetest.Unlimited, nil)
	e.cgroup.Fail("Apply", enforcetest.ErrPanic)
	e.desire(500, "SpegelHighCPU", "cpu 1803m")

	assert.Contains(t, e.status(enforce.StateFailed).LastError, "internal error")
	assert.Equal(t, enforcetest.Unlimited, e.cgroup.CPUMax())

	e.cgroup.Fail("Apply", nil)
	e.status(enforce.StateApplied)
	assert.Equal(t, atCeiling, e.cgroup.CPUMax())

	e.end()
	require.NoError(t, e.c.Stop())
	assert.Equal(t, enforcetest.Unlimited, e.cgroup.CPUMax())
}

// TestWatch_SurvivesAPanic: the next stream is opened, and the sources are asked meanwhile.
func TestWatch_SurvivesAPanic(t *testing.T) {
	var (
		w     watch
		woken = make(chan bool, 100)
	)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	ended := make(chan bool)

	go func() {
		defer close(ended)

		w.run(ctx, panickingStream{}, func() { woken <- true })
	}()

	<-woken // by the stream
	<-woken // by its end
	assert.False(t, w.up.Load())
	assert.True(t, w.take(discover.Selector{}))

	cancel()

	select {
	case <-ended:
	case <-time.After(patience):
		require.Fail(t, "it goes on")
	}
}

type panickingStream struct{}

func (panickingStream) Watch(_ context.Context, changed func(string, map[string]string)) error {
	changed("", nil)

	panic("watch")
}
