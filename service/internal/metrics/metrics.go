// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package metrics exports what the guard sees and does to Prometheus. Which metrics there are stands in pkg/series.
//
// Values are read when somebody asks for them: from the newest samples and from the resources that clients see,
// so that nothing is counted twice. Only what happens between two questions is counted as it happens.
package metrics

import (
	"errors"
	"runtime"
	"strings"
	"syscall"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/internal/series"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
)

// Metrics of one guard. It is made by New.
type Metrics struct {
	// SampleDuration and Reaction take seconds: see pkg/series.
	SampleDuration, Reaction prometheus.Histogram

	registry *prometheus.Registry
	events   map[string]*prometheus.CounterVec
	failures *prometheus.CounterVec
}

// otherErrno stands for failures that are no error of the kernel's.
const otherErrno = "other"

// New makes the metrics of a guard whose state and samples these are.
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
		events:         map[string]*prometheus.CounterVec{},
		failures:       counter(series.ApplyFailures),
	}

	for _, name := range eventNames {
		m.events[name] = counter(name)
	}

	// From the start, so that the first failure is an increase.
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

// Gatherer is for whoever asks without HTTP.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// eventNames are the counters of what happens to a workload.
var eventNames = []string{series.Throttles, series.Releases, series.Probes, series.ExternalChanges}

// Count takes an action of the guard's. It is what record.Log tells.
func (m *Metrics) Count(action *resources.GuardActionSpec) {
	name := ""

	switch action.Action {
	case resources.ActionApply:
		name = series.Throttles
	case resources.ActionRelease:
		// A person's order is on record beside what it led to.
		if action.By.IsZero() {
			name = series.Releases
		}
	case resources.ActionProbe:
		name = series.Probes
	case resources.ActionExternalChange:
		name = series.ExternalChanges
	}

	if name != "" {
		m.events[name].WithLabelValues(workloadOf(action.Target)...).Inc()
	}
}

// Failed takes an attempt to write or to take back a ceiling that failed.
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

// workloadOf takes a target's id apart: namespace, pod and container.
func workloadOf(id string) []string {
	parts := strings.SplitN(id, "/", 3)
	for len(parts) < 3 {
		parts = append(parts, "")
	}

	return parts
}
