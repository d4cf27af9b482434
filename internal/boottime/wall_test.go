// SPDX-License-Identifier: MPL-2.0

//go:build linux

package boottime

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestWall_ClockIsSet(t *testing.T) {
	var (
		w    wall
		now  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		at   = 10 * time.Second
		none time.Time
	)

	for _, test := range []struct {
		name      string
		boot      time.Duration
		now, want time.Time
	}{
		{"1970", 30 * time.Second, time.Unix(30, 0), none},
		{"2000, an empty battery", 31 * time.Second, time.Date(2000, 1, 1, 0, 0, 31, 0, time.UTC), none},
		{"set by NTP", 60 * time.Second, now, now.Add(-50 * time.Second)},
		{"slewed by half a second", 70 * time.Second, now.Add(10*time.Second + step/2), now.Add(-50 * time.Second)},
		{"forward", 80 * time.Second, now.Add(20*time.Second + time.Hour), now.Add(-50*time.Second + time.Hour)},
		{"back", 90 * time.Second, now.Add(30*time.Second - time.Hour), now.Add(-50*time.Second - time.Hour)},
		{"to 1970", 91 * time.Second, time.Unix(1, 0), none},
		{"and back again", 92 * time.Second, now.Add(32*time.Second - time.Hour), now.Add(-50*time.Second - time.Hour)},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, w.at(at, test.boot, test.now))
			assert.Equal(t, none, w.at(0, test.boot, test.now), "no time")
		})
	}
}

func TestWall_IsSameAtEachCall(t *testing.T) {
	at := Now()
	first := Wall(at)
	assert.WithinDuration(t, time.Now(), first, time.Hour)

	for range 1000 {
		assert.Equal(t, first, Wall(at))
	}
}
