// SPDX-License-Identifier: MPL-2.0

package config_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

func TestThreshold_ParsesByUnit(t *testing.T) {
	for _, test := range []struct {
		text string
		want float64
		unit policy.Unit
	}{
		{"400m", 0.4, policy.Cores},
		{"1.8", 1.8, policy.Cores},
		{"500k/s", 500e3, policy.BytesPerSecond},
		{"1G/min", 1e9 / 60, policy.BytesPerSecond},
		{"1Mi/s", 1 << 20, policy.BytesPerSecond},
		{"36M/h", 1e4, policy.BytesPerSecond},
		{"50%", 0.5, policy.Ratio},
		{"37 %", 0.37, policy.Ratio},
		{"500kB/s", 500e3, policy.BytesPerSecond},
		{"500 KB/s", 500e3, policy.BytesPerSecond},
		{"1.4 MB/s", 1.4e6, policy.BytesPerSecond},
		{"1GB/min", 1e9 / 60, policy.BytesPerSecond},
		{"1 MiB/s", 1 << 20, policy.BytesPerSecond},
		{"512 B/s", 512, policy.BytesPerSecond},
	} {
		t.Run(test.text, func(t *testing.T) {
			threshold := config.MustThreshold(test.text)
			assert.InDelta(t, test.want, threshold.Value, test.want/1e9)
			assert.Equal(t, test.unit, threshold.Unit)
			assert.Equal(t, test.text, threshold.String())
		})
	}
}

func TestThreshold_RejectsOtherTexts(t *testing.T) {
	for _, text := range []string{"", "much", "500kbps", "1k/day", "0/x", "50%/s", "500 k/s", "1.4 MB / s", "1 mB/s", "400mB", "5  MB/s"} {
		t.Run(text, func(t *testing.T) {
			_, err := config.Parse([]byte("rules: [{name: A, signal: networkTx, threshold: '" + text + "'}]"))
			require.ErrorContains(t, err, `line 1: invalid rules[0].threshold "`+text+`": must be a byte rate such as 500k/s (1k/s..100G/s)`)
			assert.Panics(t, func() { config.MustThreshold(text) })
		})
	}
}

func TestMaxThreshold(t *testing.T) {
	for _, signal := range policy.Signals() {
		t.Run(string(signal), func(t *testing.T) {
			unit := map[policy.Unit]string{policy.BytesPerSecond: "/s"}[signal.Unit()]
			number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

			if signal.Unit() == policy.Ratio {
				unit, number = "%", func(v float64) string { return strconv.FormatFloat(100*v, 'f', -1, 64) }
			}

			rule := "rules: [{name: A, signal: " + string(signal) + ", threshold: '%s'}]"
			most := config.MaxThreshold(signal)

			_, err := config.Parse(fmt.Appendf(nil, rule, number(most)+unit))
			require.NoError(t, err)

			_, err = config.Parse(fmt.Appendf(nil, rule, number(2*most)+unit))
			require.ErrorContains(t, err, "invalid rules[0].threshold")
		})
	}
}
