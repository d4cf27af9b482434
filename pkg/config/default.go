// SPDX-License-Identifier: MPL-2.0

package config

import (
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// Default returns the configuration without a document: the incident's alerts, and a credit for bursty load that never
// stays above a threshold for long. The rules on CPU lead to a ceiling. Those on traffic and allocation observe: a limit on
// CPU time helps against neither while the CPU usage is low. docs/margins.md has how far the thresholds are from what
// culprits and their peers use, docs/adr/0011-default-rules.md the reasons.
func Default() Config {
	return Config{
		APIVersion: APIVersion,
		Kind:       Kind,
		Mode:       ModeEnforce,
		Interval:   Duration{Duration: time.Second},
		Target: Target{
			PodLabels: map[string]string{"app.kubernetes.io/name": "spegel"},
			Container: "registry",
			Process:   "spegel",
			Metrics: Metrics{
				Port: Port{Number: 9090}, Path: "/metrics", Interval: Duration{Duration: 10 * time.Second}, Readiness: Readiness{Path: "/readyz"},
			},
		},
		Rules: []Rule{
			{
				Name: "SpegelHighCPU", Signal: SignalCPU, Threshold: MustThreshold("550m"),
				For: Duration{Duration: 10 * time.Minute}, Window: Duration{Duration: time.Minute},
			},
			{
				Name: "SpegelHighNetworkTX", Mode: ModeObserve, Signal: SignalNetworkTX, Threshold: MustThreshold("1M/s"),
				For: Duration{Duration: 10 * time.Minute}, Window: Duration{Duration: time.Minute},
			},
			{
				Name: "SpegelCPUCredit", Signal: SignalCPU, Window: Duration{Duration: time.Minute},
				Credit: Credit{Earn: MustThreshold("550m"), Capacity: MustAmount("10m")},
			},
			{
				// It leads: it fires minutes before a rule on CPU trips.
				Name: "SpegelHighMemoryAllocation", Mode: ModeObserve, Signal: SignalAllocation, Threshold: MustThreshold("1G/min"),
				For: Duration{Duration: time.Minute}, Window: Duration{Duration: time.Minute},
			},
		},
		Ceiling: Ceiling{
			CPU:          CPU{Millicores: 500},
			Floor:        CPU{Millicores: 100},
			Strategy:     policy.StrategyFixed,
			Step:         Share{Value: 0.75},
			Hold:         Duration{Duration: 10 * time.Minute},
			ReleaseAfter: Duration{Duration: 5 * time.Minute},
			Probe:        Duration{Duration: time.Minute},
			Backoff:      Backoff{Factor: Share{Value: 2}, Max: Duration{Duration: 2 * time.Hour}},
			Conflict:     ConflictReassert,
			OnStop:       StopRelease,
		},
		Evidence: Evidence{Limit: MustAmount("4M")},
		Trace:    Trace{Limit: MustAmount("16M")},
		API:      API{Listen: ":50321", TLS: TLS{Source: TLSTalos}},
		Metrics:  Exporter{TLS: TLS{Source: TLSNone}},
	}
}
