// SPDX-License-Identifier: MPL-2.0

package main

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// TestPrinters_AreReadBack: whatever the commands print with a unit is a value that a flag or a document takes.
func TestPrinters_AreReadBack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	// between returns a number of any magnitude in the bounds.
	between := func(low, high float64) float64 {
		return math.Exp(math.Log(low) + random.Float64()*(math.Log(high)-math.Log(low)))
	}

	type printer struct {
		format    func(float64) string
		unit      policy.Unit
		low, high float64
		// step is the least difference that the text shows, at small values.
		step float64
	}

	printers := map[string]printer{
		"compare cpu":   {compare.CPU.Format, policy.Cores, 0.01, 1000, 0.001},
		"compare tx":    {compare.TX.Format, policy.BytesPerSecond, 1, 1e12, 1},
		"compare alloc": {compare.Alloc.Format, policy.BytesPerSecond, 1, 1e12, 1},
		"compare disk":  {compare.Disk.Format, policy.Ratio, 0.01, 1, 0.01},
		"node tx":       {compare.NodeTX.Format, policy.BytesPerSecond, 1, 1e12, 1},
		"nfs":           {compare.NFS.Format, policy.BytesPerSecond, 1, 1e12, 1},
	}

	for _, signal := range policy.Signals() {
		of := map[policy.Unit]printer{
			policy.Cores:          {signal.Format, policy.Cores, 0.01, 1000, 0.001},
			policy.BytesPerSecond: {signal.Format, policy.BytesPerSecond, 1, 1e12, 1},
			policy.Ratio:          {signal.Format, policy.Ratio, 0.01, 1, 0.01},
		}
		printers["signal "+string(signal)] = of[signal.Unit()]
	}

	for _, m := range suggested {
		step := map[config.Signal]float64{config.SignalCPU: 0.01, config.SignalNetworkTX: 10e3, config.SignalAllocation: 10e6 / 60}[m.signal]
		require.Positive(t, step, m.signal)
		printers["suggested "+string(m.signal)] = printer{m.write, m.signal.Unit(), step / 10, config.MaxThreshold(m.signal), step}
	}

	for name, p := range printers {
		t.Run(name, func(t *testing.T) {
			for range 2000 {
				value := between(p.low, p.high)
				text := p.format(value)

				var threshold config.Threshold

				require.NoError(t, threshold.UnmarshalText([]byte(text)))
				require.Equal(t, p.unit, threshold.Unit, text)
				// Two digits are printed.
				assert.InDelta(t, value, threshold.Value, max(p.step, value*0.06), text)
			}
		})
	}

	t.Run("bytes", func(t *testing.T) {
		for range 2000 {
			value := math.Round(between(1, 1e14))
			text := resources.PrettyBytes(value)

			var amount config.Amount

			require.NoError(t, amount.UnmarshalText([]byte(text)))
			assert.InDelta(t, value, amount.Bytes, max(1, value*0.06), text)
		}
	})

	t.Run("ceilings", func(t *testing.T) {
		for millicores := int64(10); millicores < 3000; millicores++ {
			cpu, err := config.ParseCPU("x", resources.PrettyMillicores(millicores))
			require.NoError(t, err)
			assert.Equal(t, millicores, cpu.Millicores)
		}
	})

	t.Run("durations", func(t *testing.T) {
		for range 2000 {
			text := duration.Format(time.Duration(between(1e6, 1e17)))

			var (
				inDocument config.Duration
				flag       time.Duration
			)

			require.NoError(t, inDocument.UnmarshalText([]byte(text)))
			require.NoError(t, (positive{&flag}).Set(text))
			assert.Equal(t, inDocument.Duration, flag, text)
			assert.Equal(t, text, duration.Format(flag))
		}
	})
}
