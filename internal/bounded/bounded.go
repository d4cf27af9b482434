// SPDX-License-Identifier: MPL-2.0

// Package bounded keeps what comes from outside at a maximum: entries of maps, counts by key, and errors.
package bounded

import (
	"cmp"
	"slices"
)

// Excess returns the keys of the oldest entries of a map above a maximum, the oldest first. At returns the time of an entry in
// any unit, and false for an entry that must stay and does not count.
func Excess[K comparable, V any, T cmp.Ordered](entries map[K]V, maximum int, at func(K, V) (T, bool)) []K {
	if len(entries) <= maximum {
		return nil
	}

	type entry struct {
		key K
		at  T
	}

	var all []entry

	for key, value := range entries {
		if t, ok := at(key, value); ok {
			all = append(all, entry{key, t})
		}
	}

	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.at, b.at) })

	var keys []K

	for _, e := range all[:max(0, len(all)-maximum)] {
		keys = append(keys, e.key)
	}

	return keys
}
