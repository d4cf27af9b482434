// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/report"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/plant"
)

// TestExplain_GoldenOutcomes prints what explain, the events and a report say of each outcome, from decisions on a load that leads to it.
func TestExplain_GoldenOutcomes(t *testing.T) {
	const rule = "rules: [{name: SpegelHighCPU, signal: cpu, threshold: 400m, for: 10m, window: 1m}]\n"

	type load struct {
		over  time.Duration
		cores float64
	}

	for _, scenario := range []struct {
		name, document string
		loads          []load
	}{
		{"a spin under its first ceiling", rule, []load{{12 * time.Minute, 0.9}}},
		{"contained, after one probe", rule, []load{{25 * time.Minute, 0.9}}},
		{"contained, after two probes", rule, []load{{45 * time.Minute, 0.9}}},
		{"ended, by a probe", rule + "ceiling: {cpu: 150m}", []load{{12 * time.Minute, 1.8}, {20 * time.Minute, 0.2}}},
		{"quiet, before the release", rule, []load{{12 * time.Minute, 1.8}, {4 * time.Minute, 0.05}}},
		{"ended, after a release by quiet", rule, []load{{12 * time.Minute, 1.8}, {20 * time.Minute, 0.05}}},
		{"harmed at the floor", rule + "ceiling: {cpu: 100m, floor: 100m}", []load{{25 * time.Minute, 0.9}}},
	} {
		t.Run(scenario.name, func(t *testing.T) {
			cfg, err := config.Parse([]byte(scenario.document))
			require.NoError(t, err)

			var (
				l       = &plant.Loop{Engine: policy.New(cfg.Policy(), policy.Options{Seed: 1}), Step: time.Second}
				last    policy.Decision
				verdict *policy.Verdict
			)

			for _, load := range scenario.loads {
				l.Run(load.over, load.cores, func(_ policy.Sample, d policy.Decision) {
					last = d
					if d.Verdict != nil {
						verdict = d.Verdict
					}
				})
			}

			compareGolden(t, "outcome-"+strings.NewReplacer(" ", "-", ",", "").Replace(scenario.name), explained(t, last, verdict))
		})
	}
}

// explained returns the wide table of a decision and a verdict, and its event.
func explained(t *testing.T, d policy.Decision, v *policy.Verdict) string {
	t.Helper()

	a := newApp()
	target := client.TargetExplanation{ID: "spegel/spegel-2x7k2/registry", Desired: &resources.DesiredCeilingSpec{Reason: "no rule asks for a ceiling"}}

	if d.Held {
		target.Desired = &resources.DesiredCeilingSpec{
			Mode: "enforce", CeilingMillicores: d.Hold.Millicores, Rule: d.Hold.Rule, Probing: d.Hold.Probing,
			ReleasesIn: d.ReleasesIn, ProbesIn: d.ProbesIn, Quiet: d.Quiet, FailedProbes: uint64(d.Hold.FailedProbes), Since: a.now(),
		}
		target.Ceiling = &resources.CeilingStatusSpec{
			State: resources.CeilingApplied, AppliedAtClock: 1, ReadBack: fmt.Sprintf("%d 100000", 100*d.Hold.Millicores+1),
		}
	}

	events := ""

	if v != nil {
		target.Verdict = &resources.VerdictSpec{
			At: a.now(), Rule: v.Rule, Outcome: string(v.Outcome), Reason: v.Reason, FailedProbes: uint64(v.FailedProbes),
			Before: published(v.Before), During: published(v.During), After: published(v.After),
		}
		events = fmt.Sprintf("event: %s: %s\n", v.Outcome, v.Reason)
	}

	var out bytes.Buffer

	printer, err := output.NewLocal("wide", &out, explainColumns)
	require.NoError(t, err)

	require.NoError(t, printer.Print(output.Item{Rows: a.explainRows(&client.Explanation{Targets: []client.TargetExplanation{target}})}))

	return out.String() + events + reported(t, target)
}

// published is a usage as the guard publishes it.
func published(u policy.Usage) resources.Usage {
	return resources.Usage{Over: u.Over, CoreSeconds: u.CoreSeconds, TXBytes: u.TXBytes, AllocatedBytes: u.AllocatedBytes, AllocatedOver: u.AllocatedOver}
}

// reported returns the parts of a report that are about the outcome.
func reported(t *testing.T, target client.TargetExplanation) string {
	t.Helper()

	node := report.Node{Name: "talos-prod-2", Verdicts: map[string]string{}, Advice: client.Advice(target.ID, target.Desired)}
	if v := target.Verdict; v != nil {
		node.Verdicts[target.ID] = v.Outcome + ": " + v.Reason
	}

	var out bytes.Buffer

	require.NoError(t, report.Markdown(&out, report.Build([]report.Node{node}, nil)))

	_, outcome, _ := strings.Cut(out.String(), "No guard did anything.\n")

	return "report:" + outcome
}
