// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"context"
	"sync"
)

// Store holds the identity in force. The zero Store has none.
type Store struct {
	mu      sync.Mutex
	current *Identity
	changed chan struct{}
}

// Current returns the identity in force, nil before the first, and a channel that is closed when it changes.
func (s *Store) Current() (*Identity, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.changed == nil {
		s.changed = make(chan struct{})
	}

	return s.current, s.changed
}

// Set replaces the identity in force.
func (s *Store) Set(id *Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.current = id

	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Wait waits for the first identity.
func (s *Store) Wait(ctx context.Context) (*Identity, error) {
	for {
		id, changed := s.Current()
		if id != nil {
			return id, nil
		}

		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}
