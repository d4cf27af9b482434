// SPDX-License-Identifier: MPL-2.0

package boottime_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
)

func TestDue(t *testing.T) {
	for _, test := range []struct {
		name  string
		since time.Duration
		due   bool
	}{
		{"at once", 0, false},
		{"at the tick before", 24 * time.Second, false},
		{"at the tick, after work that was late", 29980 * time.Millisecond, true},
		{"later", time.Hour, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.due, boottime.Due(test.since, 30*time.Second))
		})
	}
}
