// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package metrics exports the guard's samples, decisions and actions to Prometheus. internal/series lists the metrics.
//
// Gauges are read at each scrape from the newest samples and from the resources that clients see. Events are counted
// when they happen.
package metrics

import (
	"errors"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/internal/series"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
)

// Metrics are the metrics of one guard. New creates them.
type Metrics struct {
	// SampleDuration and Reaction observe seconds, see internal/series.
	SampleDuration, Reaction prometheus.Histogram

	registry *prometheus.Registry
	events   *events
	failures *prometheus.CounterVec
}

// otherErrno is the label of failures that are no error number of the kernel.
const otherErrno = "other"

// New returns the metrics of a guard with this state and these samples.
func New(st state.State, feed *observe.Feed, version string) *Metrics {
	known := map[string]series.Series{}
	for _, s := range series.All() {
		known[s.Name] = s
	}

	counter := func(name string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: known[name].Help}, known[name].Labels)
	}

	histogram := func(name string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: known[name].Help, Buckets: buckets})
	}

	m := &Metrics{
		SampleDuration: histogram(series.SampleDuration, prometheus.ExponentialBuckets(10e-6, 2.5, 12)),
		Reaction:       histogram(series.Reaction, prometheus.ExponentialBuckets(100e-6, 2.5, 14)),
		registry:       prometheus.NewRegistry(),
		events:         &events{counters: map[string]*prometheus.CounterVec{}, seen: map[string]time.Time{}},
		failures:       counter(series.ApplyFailures),
	}

	for _, name := range eventNames {
		m.events.counters[name] = counter(name)
	}

	// The series exist from the start, so that the first failure is an increase.
	for _, errno := range []string{"EACCES", "EPERM", "EROFS", "EINVAL", otherErrno} {
		m.failures.WithLabelValues(errno)
	}

	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: series.BuildInfo, Help: known[series.BuildInfo].Help}, known[series.BuildInfo].Labels)
	build.WithLabelValues(version, runtime.Version()).Set(1)

	m.registry.MustRegister(
		build, m.SampleDuration, m.Reaction, m.failures, newCollector(st, feed, m.events),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)

	return m
}

// Gatherer returns the metrics without HTTP.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// eventNames are the counters with the labels of a workload.
var eventNames = []string{series.Throttles, series.Releases, series.Probes, series.ExternalChanges}

// Count counts an action. It is an observer of record.Actions.
func (m *Metrics) Count(action *resources.GuardActionSpec) {
	name := ""

	switch action.Action {
	case resources.ActionApply:
		name = series.Throttles
	case resources.ActionRelease:
		// The override of a person is recorded in addition to the release that it causes.
		if action.By.IsZero() {
			name = series.Releases
		}
	case resources.ActionProbe:
		name = series.Probes
	case resources.ActionExternalChange:
		name = series.ExternalChanges
	}

	if name != "" {
		m.events.count(name, action.Target)
	}
}

// Failed counts a failed attempt to write a ceiling or to restore the owner's limit.
func (m *Metrics) Failed(err error) {
	m.failures.WithLabelValues(errnoOf(err)).Inc()
}

func errnoOf(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if name := unix.ErrnoName(errno); name != "" {
			return name
		}
	}

	return otherErrno
}

// workloadOf returns the labels of a target: namespace, pod and container.
func workloadOf(id string) []string { return split(id, 3) }

// split splits an id into n labels. Missing ones are empty.
func split(id string, n int) []string {
	parts := strings.SplitN(id, "/", n)

	return append(parts, make([]string, n-len(parts))...)
}
