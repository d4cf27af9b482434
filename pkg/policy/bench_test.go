// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/test/plant"
)

// benchmarks are a decision's cost: the defaults, all signals at once, and one in CEL, in one run.
var benchmarks = map[string]string{
	"default": "",
	"six signals": `
rules:
  - {name: A, signal: cpu, threshold: 400m, for: 10m, dip: 10%}
  - {name: B, signal: networkTx, threshold: 500k/s, for: 10m, dip: 10%}
  - {name: C, signal: networkRx, threshold: 500k/s, for: 10m}
  - {name: D, signal: allocation, threshold: 1G/min, for: 5m}
  - {name: E, signal: throttled, threshold: 50%, for: 10m}
  - {name: F, signal: cpuPressure, threshold: 50%, for: 10m}
`,
	"expression": "rules: [{name: A, expression: cpu > 0.4 && networkTx > 500000.0, for: 10m}]",
}

func steady(tb testing.TB, document string) (*policy.Engine, *plant.Plant) {
	tb.Helper()

	cfg, err := config.Parse([]byte(document))
	require.NoError(tb, err)

	engine, p := policy.New(cfg.Policy(), policy.Options{}), &plant.Plant{}

	for range 300 {
		engine.Step(p.Run(time.Second, 0.25, 0.5))
	}

	return engine, p
}

// TestEngine_StepAllocatesNothing in the steady state; an expression does, within CEL.
func TestEngine_StepAllocatesNothing(t *testing.T) {
	for _, name := range []string{"default", "six signals"} {
		t.Run(name, func(t *testing.T) {
			engine, p := steady(t, benchmarks[name])

			require.Zero(t, testing.AllocsPerRun(1000, func() { engine.Step(p.Run(time.Second, 0.25, 0.5)) }))
		})
	}
}

func BenchmarkStep(b *testing.B) {
	for name, document := range benchmarks {
		b.Run(name, func(b *testing.B) {
			engine, p := steady(b, document)

			b.ReportAllocs()

			for b.Loop() {
				engine.Step(p.Run(time.Second, 0.25, 0.5))
			}
		})
	}
}
