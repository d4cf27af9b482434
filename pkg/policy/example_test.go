// SPDX-License-Identifier: MPL-2.0

package policy_test

import (
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// An engine decides on samples of cumulative counters: here a core and a half of CPU time for 20 seconds.
func ExampleEngine() {
	engine := policy.New(policy.Config{
		Mode: policy.ModeEnforce,
		Rules: []policy.Rule{{
			Name: "HighCPU", Signal: policy.SignalCPU, Threshold: 0.4, Release: 0.28, For: 10 * time.Second, Window: 5 * time.Second,
		}},
		Ceiling: policy.Ceiling{
			Millicores: 500, Floor: 100, Hold: time.Minute, ReleaseAfter: time.Minute, Backoff: policy.Backoff{Factor: 2, Max: time.Hour},
		},
	}, policy.Options{})

	for second := range 20 {
		decision := engine.Step(policy.Sample{
			At: time.Duration(second) * time.Second, CPU: policy.Counter{Total: 1.5 * float64(second)},
		})

		if decision.Event != "" {
			fmt.Println(second, decision.Event, decision.Hold.Rule, decision.Hold.Millicores)
		}
	}
	// Output: 11 trip HighCPU 500
}
