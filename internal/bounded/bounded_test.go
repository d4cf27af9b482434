// SPDX-License-Identifier: MPL-2.0

package bounded_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

func TestCount_DeletesAtZero(t *testing.T) {
	counts := map[string]int{}

	bounded.Count(counts, "a", 2)
	bounded.Count(counts, "b", 1)
	bounded.Count(counts, "a", -1)
	assert.Equal(t, map[string]int{"a": 1, "b": 1}, counts)

	bounded.Count(counts, "a", -1)
	assert.Equal(t, map[string]int{"b": 1}, counts)
}

func TestErrors_KeepsTheFirst(t *testing.T) {
	var errs bounded.Errors

	require.NoError(t, errs.Err("%d more"))

	for i := range 8 {
		errs.Add(fmt.Errorf("%w %d", io.EOF, i))
	}

	require.ErrorIs(t, errs.Err("%d more"), io.EOF)
	assert.NotContains(t, errs.Err("%d more").Error(), "more")

	errs.Add(io.ErrClosedPipe)
	errs.Add(io.ErrClosedPipe)
	require.NotErrorIs(t, errs.Err("%d more"), io.ErrClosedPipe)
	assert.ErrorContains(t, errs.Err("%d more"), "EOF 7\n2 more")
}
