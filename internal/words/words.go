// SPDX-License-Identifier: MPL-2.0

// Package words writes lists for people.
package words

import "strings"

// Or returns alternatives as a list: "a", "a or b", "a, b or c"; empty for none.
func Or[T ~string](alternatives []T) string {
	names := make([]string, len(alternatives))

	for i, name := range alternatives {
		names[i] = string(name)
	}

	if len(names) < 2 {
		return strings.Join(names, "")
	}

	last := len(names) - 1

	return strings.Join(names[:last], ", ") + " or " + names[last]
}
