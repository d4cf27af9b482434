// SPDX-License-Identifier: MPL-2.0

package trace_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
)

// recordDays returns the trace of a pod that sends 200 kB/s for 30 hours and then 800 kB/s for one, which is below every default
// threshold. A sample is taken every 30 s. It was recorded with the default document.
func recordDays(t *testing.T) []byte {
	t.Helper()

	const interval = 30 * time.Second

	lines := []trace.Line{{Header: &trace.Header{Version: trace.Version, Config: "interval: 30s"}}}

	var sample policy.Sample

	for sample.At < 31*time.Hour {
		rate := 200e3
		if sample.At >= 30*time.Hour {
			rate = 800e3
		}

		sample.At += interval
		sample.TX.Total += rate * interval.Seconds()
		lines = append(lines, trace.Line{Sample: &trace.Sample{Workload: "a/b/c", Sample: sample}})
	}

	var data []byte

	for _, line := range lines {
		text, err := trace.Encode(line)
		require.NoError(t, err)

		data = append(data, text...)
	}

	return data
}

func TestReplay_WithABaseline(t *testing.T) {
	data := recordDays(t)

	for _, test := range []struct {
		name, document string
		want           []string
	}{
		{name: "recorded document"},
		{
			name:     "three times the usual level",
			document: "interval: 30s\nrules: [{name: Unusual, signal: networkTx, threshold: 100k/s, baseline: {times: 3}, for: 10m}]",
			want:     []string{"trip Unusual 30h11m0s"},
		},
		{
			name:     "five times",
			document: "interval: 30s\nrules: [{name: Unusual, signal: networkTx, threshold: 100k/s, baseline: {times: 5}, for: 10m}]",
		},
		{
			name:     "two days of learning",
			document: "interval: 30s\nrules: [{name: Unusual, signal: networkTx, threshold: 100k/s, baseline: {times: 3, learn: 48h}, for: 10m}]",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var (
				with *config.Config
				got  []string
			)

			if test.document != "" {
				cfg, err := config.Parse([]byte(test.document))
				require.NoError(t, err)

				with = &cfg
			}

			require.NoError(t, trace.Replay(bytes.NewReader(data), with, func(s trace.Step) {
				if s.Decision.Event != "" {
					got = append(got, string(s.Decision.Event)+" "+s.Decision.Hold.Rule+" "+s.Sample.At.String())
					assert.True(t, s.Decision.Hold.Observe)
				}
			}))
			assert.Equal(t, test.want, got)
		})
	}
}
