// SPDX-License-Identifier: MPL-2.0

//go:build linux

package override

import (
	"context"
	"maps"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// checkInterval is the longest time between two looks at the clock. Timers stand still while the node is suspended (CLOCK_MONOTONIC),
// overrides do not.
const checkInterval = time.Minute

// retryInterval is the time until what could not be saved or published is tried again.
const retryInterval = 5 * time.Second

// Run removes overrides whose time is over, and saves and publishes what could not be before, until the context ends. After an error it
// must be called again.
func (m *Manager) Run(ctx context.Context) error {
	for {
		var timer <-chan time.Time

		if left, ok := m.untilNext(); ok {
			timer = time.After(left)
		}

		select {
		case <-ctx.Done():
			return nil
		case <-m.changed:
			continue
		case <-timer:
		}

		if err := m.expire(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// untilNext returns the time until the next override ends or something is tried again, and false if there is neither.
func (m *Manager) untilNext() (time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()

	least, now := checkInterval, m.now()

	retry := m.unsaved || m.unpublished
	if retry {
		least = retryInterval
	}

	for _, spec := range m.overrides {
		least = min(least, max(0, spec.UntilClock-now))
	}

	return least, retry || len(m.overrides) > 0
}

func (m *Manager) expire(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()

	next, now := maps.Clone(m.overrides), m.now()

	var actions []resources.GuardActionSpec

	for id, spec := range m.overrides {
		if now < spec.UntilClock {
			continue
		}

		delete(next, id)

		actions = append(actions, action(resources.ActionExpire, id, Request{}, "the time of the "+spec.Kind+" is over"))
	}

	if len(actions) == 0 {
		return m.settle(ctx)
	}

	return m.replace(ctx, next, actions)
}
