// SPDX-License-Identifier: MPL-2.0

package bounded

// Count adds to a counter of a map and deletes it at 0.
func Count[K comparable](counts map[K]int, key K, by int) {
	counts[key] += by

	if counts[key] == 0 {
		delete(counts, key)
	}
}
