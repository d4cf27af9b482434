// SPDX-License-Identifier: MPL-2.0

package bounded_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/internal/bounded"
)

func TestExcess(t *testing.T) {
	entries := map[string]int{"a": 3, "b": 1, "c": 2, "stays": 0}
	at := func(_ string, v int) (int, bool) { return v, v != 0 }

	for name, test := range map[string]struct {
		maximum int
		want    []string
	}{
		"more than there are":   {5, nil},
		"as many as there are":  {4, nil},
		"one stays uncounted":   {3, nil},
		"one too many":          {2, []string{"b"}},
		"none but what stays":   {0, []string{"b", "c", "a"}},
		"fewer than what stays": {1, []string{"b", "c"}},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, bounded.Excess(entries, test.maximum, at)) })
	}
}
