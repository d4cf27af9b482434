//go:build linux

package controllers

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
)

// beside takes readings that may hang, on a disk or on another program, beside the ticks.
type beside[T any] struct {
	// interval between the starts of two readings; after one that failed it is nodeInterval at most.
	interval time.Duration
	read     func() (T, error)

	mu      sync.Mutex
	value   T
	err     error
	started time.Duration
	running bool
	done    bool
}

var errNotYet = errors.New("not read yet")

// overdue is how long a reading may take until its last value is no longer shown.
const overdue = 30 * time.Second

// latest is the last reading. It starts the next when that is due, and waits for none.
func (b *beside[T]) latest(now time.Duration) (T, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	interval := b.interval
	if b.err != nil {
		interval = min(interval, nodeInterval)
	}

	if !b.running && (!b.done || now-b.started >= interval) {
		b.running, b.started = true, now

		go b.take()
	}

	var none T

	switch {
	case b.running && now-b.started > overdue:
		return none, fmt.Errorf("reading it has taken %s by now", (now - b.started).Round(time.Second))
	case !b.done:
		return none, errNotYet
	default:
		return b.value, b.err
	}
}

func (b *beside[T]) take() {
	value, err := b.read()

	b.mu.Lock()
	defer b.mu.Unlock()

	b.value, b.err = value, err
	b.running, b.done = false, true
}

// counted is a cumulative reading with the time it was taken at, and the one before it.
type counted[T any] struct {
	now, before     T
	at, beforeAt    time.Duration
	measured, rates bool
}

// remember makes a reading of a cumulative value part of a pair.
func remember[T any](previous *counted[T], read func() (T, error)) (counted[T], error) {
	value, err := read()
	if err != nil {
		*previous = counted[T]{}

		return *previous, err
	}

	*previous = counted[T]{
		now: value, at: boottime.Now(), measured: true,
		before: previous.now, beforeAt: previous.at, rates: previous.measured,
	}

	return *previous, nil
}
