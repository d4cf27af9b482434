// SPDX-License-Identifier: MPL-2.0

package duration_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/duration"
)

func TestFormat(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "350ms": 350 * time.Millisecond, "10s": 10*time.Second + 300*time.Millisecond, "10m": 10 * time.Minute, "1m40s": 100 * time.Second,
		"2h": 2 * time.Hour, "2h30m": 150 * time.Minute, "2h0m5s": 2*time.Hour + 5*time.Second, "23h59m59s": 24*time.Hour - time.Second,
		"1d": 24 * time.Hour, "2d3h": 51*time.Hour + 20*time.Minute, "10d": 239*time.Hour + 40*time.Minute, "-1d1h": -25 * time.Hour,
		"-5s": -5 * time.Second, "106751d23h": math.MaxInt64, "-106751d23h": math.MinInt64,
	} {
		t.Run(want, func(t *testing.T) { assert.Equal(t, want, duration.Format(d)) })
	}
}

func TestExact(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "1m": time.Minute, "10m30s": 630 * time.Second, "24h": 24 * time.Hour, "120h": 120 * time.Hour, "1.5s": 1500 * time.Millisecond,
		"1h30m": 90 * time.Minute, "1h0m5s": time.Hour + 5*time.Second, "-1h": -time.Hour,
	} {
		t.Run(want, func(t *testing.T) { assert.Equal(t, want, duration.Exact(d)) })
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"10m": 10 * time.Minute, "1.5h": 90 * time.Minute, "2d3h": 51 * time.Hour, "1d": 24 * time.Hour, "1d30s": 24*time.Hour + 30*time.Second,
		"-1d1h": -25 * time.Hour,
	} {
		t.Run(text, func(t *testing.T) {
			got, err := duration.Parse(text)
			require.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}

	for _, text := range []string{"", "d", "1", "1.5d", "1dd", "1d-3h", "3h1d", "-", "1d3x", "99999999999d", "65535d2500000h"} {
		t.Run("refuses "+text, func(t *testing.T) {
			_, err := duration.Parse(text)
			require.Error(t, err)
		})
	}
}

// TestFormat_IsReadBack: a duration that is printed can be typed again.
func TestFormat_IsReadBack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))

	for range 10_000 {
		want := time.Duration(random.Int64N(int64(1) << random.IntN(58)))

		got, err := duration.Parse(duration.Format(want))
		require.NoError(t, err, want.String())

		within := time.Second
		if want >= 24*time.Hour-time.Second {
			within = time.Hour
		}

		assert.LessOrEqual(t, (got - want).Abs(), within, want.String())
		assert.Equal(t, duration.Format(want), duration.Format(got))
	}
}
