// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/internal/task"
)

// background takes readings that may hang, on a disk or on another program, in a goroutine.
type background[T any] struct {
	// interval between the starts of two readings; retry is the longest one after a failure.
	interval, retry time.Duration
	read            func() (T, error)

	mu      sync.Mutex
	value   T
	err     error
	started time.Duration
	running bool
	done    bool
}

var errNotRead = errors.New("not read yet")

// overdue is how long a reading may take until the value before it is no longer returned.
const overdue = 30 * time.Second

// latest returns the newest reading. It starts the next one when that is due, and waits for none.
func (b *background[T]) latest(now time.Duration) (T, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	interval := b.interval
	if b.err != nil {
		interval = min(interval, b.retry)
	}

	if !b.running && (!b.done || boottime.Due(now-b.started, interval)) {
		b.running, b.started = true, now

		go task.Do("keep a reading", b.take)
	}

	var none T

	switch {
	case b.running && now-b.started > overdue:
		return none, fmt.Errorf("the reading has not ended for %s", duration.Format(now-b.started))
	case !b.done:
		return none, errNotRead
	default:
		return b.value, b.err
	}
}

func (b *background[T]) take() {
	var value T

	err := task.Step("take a reading", func() (err error) {
		value, err = b.read()

		return err
	})

	b.mu.Lock()
	defer b.mu.Unlock()

	b.value, b.err = value, err
	b.running, b.done = false, true
}
