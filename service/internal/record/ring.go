// SPDX-License-Identifier: MPL-2.0

package record

import "slices"

// ring holds the newest values up to a maximum.
type ring[T any] struct {
	values []T
	// next is the oldest value of a full ring.
	next int
}

// add adds a value, in place of the oldest one of a full ring.
func (r *ring[T]) add(value T, maximum int) {
	if len(r.values) == maximum {
		r.values[r.next] = value
		r.next = (r.next + 1) % maximum

		return
	}

	// append alone would reserve more than the maximum.
	if len(r.values) == cap(r.values) {
		grown := make([]T, len(r.values), min(maximum, max(16, 2*len(r.values))))
		copy(grown, r.values)
		r.values = grown
	}

	r.values = append(r.values, value)
}

// all returns a copy of the values, the oldest first.
func (r *ring[T]) all() []T {
	return slices.Concat(r.values[r.next:], r.values[:r.next])
}

// recent returns the value that was added before a number of others.
func (r *ring[T]) recent(before int) *T {
	n := len(r.values)

	return &r.values[(r.next+n-1-before)%n]
}

// newest returns the value that was added last; zero for none.
func (r *ring[T]) newest() (value T) {
	if len(r.values) > 0 {
		value = *r.recent(0)
	}

	return value
}
