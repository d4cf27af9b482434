// SPDX-License-Identifier: MPL-2.0

//go:build linux

package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spegel-guard/spegel-guard/internal/series"
	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
)

// collector reads the guard's state at each scrape.
type collector struct {
	state  state.State
	feed   *observe.Feed
	events *events
	descs  map[string]*desc

	mu sync.Mutex
	// samples are the newest of the workloads that exist.
	samples map[string]*resources.TargetStatsSpec
}

type desc struct {
	*prometheus.Desc

	kind prometheus.ValueType
}

func newCollector(st state.State, feed *observe.Feed, events *events) *collector {
	c := &collector{
		state: st, feed: feed, events: events, descs: map[string]*desc{},
		samples: map[string]*resources.TargetStatsSpec{},
	}

	kinds := map[series.Kind]prometheus.ValueType{series.Gauge: prometheus.GaugeValue, series.Counter: prometheus.CounterValue}

	for _, s := range series.All() {
		if kind, ok := kinds[s.Kind]; ok {
			c.descs[s.Name] = &desc{Desc: prometheus.NewDesc(s.Name, s.Help, s.Labels, nil), kind: kind}
		}
	}

	// Other collectors export these.
	for _, name := range append([]string{series.BuildInfo, series.ApplyFailures}, eventNames...) {
		delete(c.descs, name)
	}

	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d.Desc
	}

	for _, vec := range c.events.counters {
		vec.Describe(ch)
	}
}

// Collect implements prometheus.Collector. If a resource cannot be read the whole scrape fails, because missing series
// would mean that their workloads are gone. The registry collects in goroutines of its own, so that a panic is recovered here.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()

	out := sink{ch: ch, descs: c.descs}

	defer func() {
		if p := recover(); p != nil {
			err := task.Recovered("collect the metrics", p)
			ch <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
		}
	}()

	c.feed.Update(c.samples)

	c.guard(&out)
	c.conditions(&out)
	c.node(&out)

	for id, sample := range c.samples {
		target(&out, workloadOf(id), sample)
	}

	c.targets(&out)
	c.rules(&out)
	c.ceilings(&out)
	c.counters(ch)
}

// counters exports the event counters.
func (c *collector) counters(ch chan<- prometheus.Metric) {
	now := time.Now()

	for id := range c.samples {
		c.events.see(id, now)
	}

	c.events.prune(now)

	for _, vec := range c.events.counters {
		vec.Collect(ch)
	}
}

// sink sends values to a scrape by their names in internal/series.
type sink struct {
	ch    chan<- prometheus.Metric
	descs map[string]*desc
}

func (s *sink) put(name string, value float64, labels ...string) {
	d := s.descs[name]
	s.ch <- prometheus.MustNewConstMetric(d.Desc, d.kind, value, labels...)
}

// oneHot puts a series for each possible value of the last label: 1 for the current one and 0 for the others.
func (s *sink) oneHot(name, current string, all []string, labels ...string) {
	for _, possible := range all {
		value := 0.0
		if possible == current {
			value = 1
		}

		s.put(name, value, append(labels[:len(labels):len(labels)], possible)...)
	}
}

func (s *sink) fail(name string, err error) {
	s.ch <- prometheus.NewInvalidMetric(s.descs[name].Desc, err)
}

// each calls do for every resource of a type. If they cannot be listed the metric of that name is invalid.
func each[T meta.ResourceWithRD](c *collector, out *sink, name string, do func(T)) {
	list, err := safe.StateListAll[T](context.Background(), c.state)
	if err != nil {
		out.fail(name, err)

		return
	}

	for item := range list.All() {
		do(item)
	}
}
