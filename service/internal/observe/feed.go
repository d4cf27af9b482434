// SPDX-License-Identifier: MPL-2.0

// Package observe reads what the guard decides on: the counters of the targets and the facts of their node.
package observe

import (
	"maps"
	"sync"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Feed hands the newest sample of each target to the policy and to the metrics, and its newest answer to the enforcer. They need
// every sample, and a COSI resource for each would wake every watcher: the resource TargetStats is updated when a value changed
// significantly. Make a Feed with NewFeed.
type Feed struct {
	news chan struct{}

	mu     sync.Mutex
	latest map[string]*resources.TargetStatsSpec
	// answers by target, of the container of the newest sample.
	answers map[string]Answer
}

// NewFeed is a feed without targets.
func NewFeed() *Feed {
	return &Feed{news: make(chan struct{}, 1), latest: map[string]*resources.TargetStatsSpec{}, answers: map[string]Answer{}}
}

// News has something in it when there are samples, or targets fewer, that Update has not taken yet. What comes
// in quick succession is told once: the counters are cumulative, so nothing is lost. It is for one reader.
func (f *Feed) News() <-chan struct{} { return f.news }

// Put takes a target's newest sample and answer. It says nothing yet: see Wake.
func (f *Feed) Put(id string, sample *resources.TargetStatsSpec, answer Answer) {
	f.mu.Lock()
	defer f.mu.Unlock()

	known, ok := f.latest[id]
	if !ok {
		known = new(resources.TargetStatsSpec)
		f.latest[id] = known
	}

	*known = *sample
	f.answers[id] = answer
}

// Answer returns the newest answer of a target's container, or why there is none. It never waits for one.
func (f *Feed) Answer(id, container string) Answer {
	f.mu.Lock()
	defer f.mu.Unlock()

	if sample, ok := f.latest[id]; !ok || sample.ContainerID != container {
		return noAnswer
	}

	return f.answers[id]
}

// Remove forgets a target that is gone, and tells.
func (f *Feed) Remove(id string) {
	f.mu.Lock()
	delete(f.latest, id)
	delete(f.answers, id)
	f.mu.Unlock()

	f.Wake()
}

// Wake tells that there is something new.
func (f *Feed) Wake() {
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// Update brings a copy of the newest samples up to date, in place: what is there already is written over, so
// that nothing is allocated while the targets stay the same.
func (f *Feed) Update(into map[string]*resources.TargetStatsSpec) {
	f.mu.Lock()
	defer f.mu.Unlock()

	maps.DeleteFunc(into, func(id string, _ *resources.TargetStatsSpec) bool {
		_, ok := f.latest[id]

		return !ok
	})

	for id, sample := range f.latest {
		known, ok := into[id]
		if !ok {
			known = new(resources.TargetStatsSpec)
			into[id] = known
		}

		*known = *sample
	}
}
