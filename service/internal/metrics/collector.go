// SPDX-License-Identifier: MPL-2.0

//go:build linux

package metrics

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spegel-guard/spegel-guard/internal/series"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
)

// remembered is how long the counters of a workload that is gone are still told: whoever asks may not have seen
// the last of them.
const remembered = time.Hour

// collector reads the guard's state whenever it is asked.
type collector struct {
	state  state.State
	feed   *observe.Feed
	events map[string]*prometheus.CounterVec
	descs  map[string]*desc

	mu sync.Mutex
	// seen is when each workload was there last, samples the newest of those that are.
	seen    map[string]time.Time
	samples map[string]*resources.TargetStatsSpec
	// credits are the rules that have one.
	credits map[string]struct{}
}

type desc struct {
	*prometheus.Desc

	kind prometheus.ValueType
}

func newCollector(st state.State, feed *observe.Feed, events map[string]*prometheus.CounterVec) *collector {
	c := &collector{
		state: st, feed: feed, events: events, descs: map[string]*desc{},
		seen: map[string]time.Time{}, samples: map[string]*resources.TargetStatsSpec{},
		credits: map[string]struct{}{},
	}

	kinds := map[series.Kind]prometheus.ValueType{series.Gauge: prometheus.GaugeValue, series.Counter: prometheus.CounterValue}

	for _, s := range series.All() {
		if kind, ok := kinds[s.Kind]; ok {
			c.descs[s.Name] = &desc{Desc: prometheus.NewDesc(s.Name, s.Help, s.Labels, nil), kind: kind}
		}
	}

	// These are other collectors'.
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

	for _, vec := range c.events {
		vec.Describe(ch)
	}
}

// Collect implements prometheus.Collector. What cannot be read is an invalid metric, which makes the whole answer
// an error: a part of it would look like the rest had gone.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()

	out := sink{ch: ch, descs: c.descs}
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

// counters begin at 0 with the workload, so that the first event is an increase.
func (c *collector) counters(ch chan<- prometheus.Metric) {
	now := time.Now()

	for id := range c.samples {
		c.seen[id] = now

		for _, vec := range c.events {
			vec.WithLabelValues(workloadOf(id)...)
		}
	}

	maps.DeleteFunc(c.seen, func(id string, at time.Time) bool {
		outdated := now.Sub(at) > remembered
		if outdated {
			for _, vec := range c.events {
				vec.DeleteLabelValues(workloadOf(id)...)
			}
		}

		return outdated
	})

	for _, vec := range c.events {
		vec.Collect(ch)
	}
}

// sink takes values by their names in pkg/series.
type sink struct {
	ch    chan<- prometheus.Metric
	descs map[string]*desc
}

func (s *sink) put(name string, value float64, labels ...string) {
	d := s.descs[name]
	s.ch <- prometheus.MustNewConstMetric(d.Desc, d.kind, value, labels...)
}

// oneHot is 1 for what is, and 0 for everything else it could be.
func (s *sink) oneHot(name, is string, all []string, labels ...string) {
	for _, could := range all {
		value := 0.0
		if could == is {
			value = 1
		}

		s.put(name, value, append(labels[:len(labels):len(labels)], could)...)
	}
}

func (s *sink) fail(name string, err error) {
	s.ch <- prometheus.NewInvalidMetric(s.descs[name].Desc, err)
}

// each calls do for every resource of a type; a name is that of a metric it is for.
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
