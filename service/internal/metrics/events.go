// SPDX-License-Identifier: MPL-2.0

//go:build linux

package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spegel-guard/spegel-guard/internal/bounded"
)

const (
	// retention is how long the event counters of a workload are exported after it is gone, so that the last events are
	// scraped.
	retention = time.Hour
	// maxWorkloads is how many workloads have event counters; those that existed last have them.
	maxWorkloads = 256
)

// events counts what happened to each workload.
type events struct {
	counters map[string]*prometheus.CounterVec

	mu sync.Mutex
	// seen is when each workload with counters existed last.
	seen map[string]time.Time
}

// count adds an event of a name in eventNames to a workload.
func (e *events) count(name, id string) {
	e.see(id, time.Now())
	e.counters[name].WithLabelValues(workloadOf(id)...).Inc()
}

// see makes sure that a workload has counters. They start at 0 with the workload, so that the first event is an increase.
func (e *events) see(id string, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()

	e.seen[id] = now

	for _, vec := range e.counters {
		vec.WithLabelValues(workloadOf(id)...)
	}

	for _, excess := range bounded.Excess(e.seen, maxWorkloads, lastSeen) {
		e.forget(excess)
	}
}

// prune removes the counters of workloads that are gone for long.
func (e *events) prune(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()

	for id, at := range e.seen {
		if now.Sub(at) > retention {
			e.forget(id)
		}
	}
}

func (e *events) forget(id string) {
	delete(e.seen, id)

	for _, vec := range e.counters {
		vec.DeleteLabelValues(workloadOf(id)...)
	}
}

func lastSeen(_ string, at time.Time) (int64, bool) { return at.UnixNano(), true }
