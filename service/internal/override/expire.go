// SPDX-License-Identifier: MPL-2.0

//go:build linux

package override

import (
	"context"
	"maps"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Run removes overrides whose time is over, until the context ends.
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

// untilNext returns the time until the next override ends, and false if there is none.
func (m *Manager) untilNext() (time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()

	least, now := maxDuration, m.now()

	for _, spec := range m.overrides {
		least = min(least, max(0, spec.UntilClock-now))
	}

	return least, len(m.overrides) > 0
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

	return m.replace(ctx, next, actions)
}
