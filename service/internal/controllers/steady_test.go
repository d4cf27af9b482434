// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/owned"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// ticking is a PolicyController over a real state, with samples and a clock of the test's making.
type ticking struct {
	c     *PolicyController
	w     controller.Writer
	state state.State
	now   time.Duration
	// logger is made once: making one allocates.
	logger *zap.Logger
	stats  map[string]*resources.TargetStatsSpec
}

func newTicking(tb testing.TB) *ticking {
	tb.Helper()

	document, err := config.Marshal(config.Default())
	require.NoError(tb, err)

	return newTickingWith(tb, string(document))
}

func newTickingWith(tb testing.TB, document string) *ticking {
	tb.Helper()

	st := newState(tb)

	active := resources.NewGuardConfig(resources.GuardConfigID)
	active.TypedSpec().Document = document
	require.NoError(tb, st.Create(tb.Context(), active))

	t := &ticking{
		c:     &PolicyController{Leases: &enforce.Leases{}, Feed: observe.NewFeed(), History: &record.History{}},
		w:     owned.New(st, "guard.PolicyController"),
		state: st, now: time.Hour, logger: zap.NewNop(), stats: map[string]*resources.TargetStatsSpec{},
	}

	t.c.clock = func() time.Duration { return t.now }
	t.c.begin()

	require.NoError(tb, t.c.refresh(tb.Context(), readerWriter{Reader: st, Writer: t.w}))

	return t
}

// readerWriter is a state as a controller has it.
type readerWriter struct {
	controller.Reader
	controller.Writer
}

// tick lets a second pass in which targets use a number of cores.
func (t *ticking) tick(tb testing.TB, load map[string]float64) {
	require.NoError(tb, t.try(load))
}

// try is a tick that may fail.
func (t *ticking) try(load map[string]float64) error {
	t.now += time.Second

	for id, cores := range load {
		stats, ok := t.stats[id]
		if !ok {
			stats = &resources.TargetStatsSpec{ContainerID: id}
			t.stats[id] = stats
		}

		for _, reading := range []*resources.Reading{
			&stats.CPU, &stats.TXBytesPerSecond, &stats.RXBytesPerSecond, &stats.CPUPressure, &stats.Application.AllocBytesPerSecond,
		} {
			reading.Provenance = resources.ProvenanceMeasured
		}

		stats.Clock = t.now
		stats.CPU.Value = cores
		stats.Counters.UsageUsec += uint64(cores * 1e6)
		stats.Counters.TXBytes += uint64(cores * 1e6)

		// Ceilings are in force as soon as they are desired.
		if known, ok := t.c.decider.workloads.known[id]; ok && known.Decision().Held && known.Decision().Hold.Enforced() {
			t.c.inputs.ceilings[id] = ceilingInput{CeilingStatusSpec: resources.CeilingStatusSpec{AppliedAtClock: known.Decision().Hold.Since}}
		} else {
			delete(t.c.inputs.ceilings, id)
		}

		t.c.Feed.Put(id, stats, observe.Answer{})
	}

	return t.c.reconcile(context.Background(), t.w, false, t.logger)
}

// forbidden is a state that must not be written to.
type forbidden struct{ controller.Writer }

// TestPolicyController_SteadyTickAllocatesNothing: it reads and writes no resource either.
func TestPolicyController_SteadyTickAllocatesNothing(t *testing.T) {
	ticks := newTicking(t)
	load := map[string]float64{"spegel/a/registry": 0.25, "spegel/b/registry": 0.1}

	for range 600 {
		ticks.tick(t, load)
	}

	ticks.w = forbidden{} // whatever it is asked for, it panics

	assert.Zero(t, testing.AllocsPerRun(600, func() { ticks.tick(t, load) }))
}

func BenchmarkSteadyTick(b *testing.B) {
	ticks := newTicking(b)
	load := map[string]float64{"spegel/a/registry": 0.25}

	for range 600 {
		ticks.tick(b, load)
	}

	b.ReportAllocs()

	for b.Loop() {
		ticks.tick(b, load)
	}
}

// TestPolicyController_PublishesWhatChanged compares what clients see with what was decided.
func TestPolicyController_PublishesWhatChanged(t *testing.T) {
	ticks := newTicking(t)
	id := "spegel/a/registry"

	rule := func() resources.RuleStatusSpec {
		r, err := ticks.state.Get(t.Context(), resources.NewRuleStatus(id+"/SpegelHighCPU").Metadata())
		require.NoError(t, err)

		return *r.(*resources.RuleStatus).TypedSpec()
	}

	for step := range 300 {
		cores := 0.1 + 0.001*float64(step)
		ticks.tick(t, map[string]float64{id: cores})

		exact := ticks.c.decider.workloads.known[id].Decision().Rules[0].Value
		assert.InDelta(t, exact, rule().Value, 0.005+0.05*exact)
		assert.Equal(t, string(ticks.c.decider.workloads.known[id].Decision().Rules[0].State), rule().State)
	}

	// Over the threshold: the time until it fires is published to the second.
	for range 120 {
		ticks.tick(t, map[string]float64{id: 1.8})
	}

	assert.Equal(t, "pending", rule().State)
	assert.Equal(t, ticks.c.decider.workloads.known[id].Decision().Rules[0].TripsIn, rule().TripsIn)

	// The pod is gone, and what was published about it.
	ticks.c.Feed.Remove(id)
	ticks.tick(t, nil)

	for _, kind := range []resource.Kind{resources.NewRuleStatus("").Metadata(), resources.NewDesiredCeiling("").Metadata(), resources.NewVerdict("").Metadata()} {
		list, err := ticks.state.List(t.Context(), kind)
		require.NoError(t, err)
		assert.Empty(t, list.Items)
	}
}

// TestPolicyController_DaysOfTicks: two days in which each hour brings another pod, a breach and its end leave nothing behind. Before
// them a day and two hours fill the history, which keeps 24 targets for a day.
func TestPolicyController_DaysOfTicks(t *testing.T) {
	if testing.Short() {
		t.Skip("days take some seconds")
	}

	const settled, hours = 26, 26 + 48

	ticks := newTicking(t)
	heap := make([]float64, 0, hours)
	count := 0

	for hour := range hours {
		before, pod := fmt.Sprintf("spegel/pod-%d/registry", hour-1), fmt.Sprintf("spegel/pod-%d/registry", hour)
		ticks.c.Feed.Remove(before)
		delete(ticks.stats, before)

		for second := range 3600 {
			cores := 0.25
			if second > 600 && second < 1500 {
				cores = 1.8
			}

			ticks.tick(t, map[string]float64{"spegel/stays/registry": 0.2, pod: cores})

			count++
		}

		heap = append(heap, heapInUse())
	}

	var most float64
	for _, kib := range heap[settled:] {
		most = max(most, kib)
	}

	first, last := heap[settled-1], heap[hours-1]

	t.Logf("%d ticks: heap %.0f KiB after the first day, %.0f after the last, %.0f at the most", count, first, last, most)
	assert.Less(t, most, first*1.1, "it grows: %.0f", heap)
	assert.LessOrEqual(t, len(ticks.c.decider.workloads.known), 3, "pods that are gone are forgotten")
}

func heapInUse() float64 {
	runtime.GC()
	runtime.GC()

	var stats runtime.MemStats

	runtime.ReadMemStats(&stats)

	return float64(stats.HeapAlloc) / 1024
}
