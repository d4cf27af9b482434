// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
)

func (a *app) replayCommand() *cobra.Command {
	var configPath string

	cmd := &cobra.Command{
		Use:   "replay TRACE",
		Short: "Show what the policy decides on a recorded trace",
		Long: `Show what the policy decides on a trace that a guard recorded (trace.path in its configuration).

Without --config the recorded configuration is used, and the decisions are those of the recording. With it, that
configuration decides on the same samples. They were taken under the recorded ceilings: a replay cannot show what the
workload would have done under others, and shows no probe of a ceiling that was not in force.`,
		Example: "  spegelguardctl replay trace.jsonl",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var with *config.Config

			if configPath != "" {
				cfg, err := readDocument(configPath)
				if err != nil {
					return err
				}

				with = &cfg
			}

			file, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("failed to open the trace: %w", err)
			}

			defer file.Close() //nolint:errcheck // read only

			return a.replay(file, with)
		},
	}

	cmd.Flags().StringVar(&configPath, "config", "", "document or machine configuration to use instead of the recorded one")

	return cmd
}

// record is one line of the output: an event, or the verdict on a ceiling that ended.
type record struct {
	Elapsed  string          `json:"elapsed"`
	Workload string          `json:"workload"`
	Event    policy.Event    `json:"event,omitempty"`
	Hold     *policy.Hold    `json:"hold,omitempty"`
	Verdict  *policy.Verdict `json:"verdict,omitempty"`
}

func (a *app) replay(r io.Reader, with *config.Config) error {
	printer, err := output.NewLocal(a.output, a.stdout, output.Titles("ELAPSED", "EVENT", "WORKLOAD", "RULE", "CEILING", "HOLD", "VERDICT"))
	if err != nil {
		return err
	}

	var (
		items    []output.Item
		samples  int
		last     time.Duration
		learning = map[string]string{}
	)

	err = trace.Replay(r, with, func(s trace.Step) {
		samples++
		last = s.Elapsed
		d := s.Decision

		for i := range d.Rules {
			if d.Rules[i].Learning() {
				learning[d.Rules[i].Rule.Name+" of "+s.Workload] = learned(d.Rules[i].Learned, d.Rules[i].Rule.Baseline.Learn)
			} else {
				delete(learning, d.Rules[i].Rule.Name+" of "+s.Workload)
			}
		}

		if d.Event == "" && d.Verdict == nil {
			return
		}

		line := record{Elapsed: duration.Exact(s.Elapsed), Workload: s.Workload, Event: d.Event, Verdict: d.Verdict}

		if d.Held {
			line.Hold = &d.Hold
		}

		items = append(items, output.Item{Value: line, Rows: replayRows(line)})
	})
	if err != nil {
		return err
	}

	if err := printer.Print(items...); err != nil {
		return err
	}

	events := 0

	for _, item := range items {
		if line, ok := item.Value.(record); ok && line.Event != "" {
			events++
		}
	}

	// On stderr, because programs that read the output count for themselves.
	a.note("%d events in %d samples over %s", events, samples, duration.Exact(last))

	for _, name := range slices.Sorted(maps.Keys(learning)) {
		a.note("%s could not fire, %s", name, learning[name])
	}

	return nil
}

func replayRows(line record) []output.Row {
	var rows []output.Row

	if line.Event != "" {
		row := output.Row{Cells: []string{line.Elapsed, string(line.Event), line.Workload, "", "", "", ""}}

		if hold := line.Hold; hold != nil {
			row.Cells[3], row.Cells[4], row.Cells[5] = hold.Rule, resources.PrettyMillicores(hold.Millicores), duration.Exact(hold.Until-hold.Since)

			if hold.Observe {
				row.Cells[4] += " (observed only)"
			}
		}

		rows = append(rows, row)
	}

	if v := line.Verdict; v != nil {
		rows = append(rows, output.Row{Cells: []string{line.Elapsed, "verdict", line.Workload, v.Rule, "", "", fmt.Sprintf(
			"%s: %s (cores before %.2f, during %.2f, after %.2f)", v.Outcome, v.Reason, v.Before.Cores(), v.During.Cores(), v.After.Cores(),
		)}})
	}

	return rows
}
