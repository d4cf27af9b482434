// SPDX-License-Identifier: MPL-2.0

package pace_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/internal/pace"
)

func TestNext(t *testing.T) {
	for _, test := range []struct {
		name     string
		at, next time.Duration
	}{
		{"at a moment", 0, 10 * time.Second},
		{"after it", time.Second, 9 * time.Second},
		{"long before the next", 8 * time.Second, 2 * time.Second},
		{"so near that it counts as over", 10*time.Second - time.Microsecond, 10*time.Second + time.Microsecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(test.at)
				assert.Equal(t, test.next, pace.Next(10*time.Second))
			})
		})
	}
}

// TestNext_CommonMoments: intervals that divide each other end together, whenever they began.
func TestNext_CommonMoments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pace.Spread()

		moments := map[int64]bool{}

		for _, interval := range []time.Duration{time.Second, 2 * time.Second, 10 * time.Second} {
			time.Sleep(137 * time.Millisecond)

			moments[time.Now().Add(pace.Next(interval)).UnixNano()%int64(time.Second)] = true
		}

		assert.Len(t, moments, 1)
	})
}

func TestOver(t *testing.T) {
	for since, want := range map[time.Duration]bool{0: false, 8 * time.Second: false, 9 * time.Second: true, 10*time.Second - 1: true, time.Minute: true} {
		t.Run(since.String(), func(t *testing.T) { assert.Equal(t, want, pace.Over(since, 10*time.Second)) })
	}
}
