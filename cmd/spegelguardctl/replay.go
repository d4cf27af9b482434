package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
)

func newReplayCommand() *cobra.Command {
	var configPath, output string

	cmd := &cobra.Command{
		Use:   "replay TRACE",
		Short: "Show what the policy decides on a recorded trace",
		Long: `Show what the policy decides on a trace that a guard recorded (trace.path in its configuration).

Without --config the recorded configuration judges, and the decisions are the ones of then. With it, the
given one judges the same samples. They were taken under the ceilings of then: what the workload would
have done under others, no replay can tell.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			with, err := readConfig(configPath)
			if err != nil {
				return err
			}

			file, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("error opening the trace: %w", err)
			}

			defer file.Close() //nolint:errcheck // read only

			return replay(file, with, output, cmd.OutOrStdout())
		},
	}

	cmd.Flags().StringVar(&configPath, "config", "", "configuration document to judge by, instead of the recorded one")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")

	return cmd
}

func readConfig(path string) (*config.Config, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // the recorded one
	}

	document, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("error reading the configuration: %w", err)
	}

	cfg, err := config.Parse(document)
	if err != nil {
		return nil, fmt.Errorf("error in %s: %w", path, err)
	}

	return &cfg, nil
}

// record is one line of the output: an event, or a verdict on a ceiling that was lifted.
type record struct {
	Elapsed  string          `json:"elapsed"`
	Workload string          `json:"workload"`
	Event    policy.Event    `json:"event,omitempty"`
	Hold     *policy.Hold    `json:"hold,omitempty"`
	Verdict  *policy.Verdict `json:"verdict,omitempty"`
}

func replay(r io.Reader, with *config.Config, output string, w io.Writer) error {
	if output != "table" && output != "json" {
		return fmt.Errorf("--output %q is not allowed, allowed is table or json", output)
	}

	var (
		writeErr error
		samples  int
		events   int
		last     time.Duration
	)

	show := func(s trace.Step) {
		samples++
		last = s.Elapsed
		d := s.Decision

		if d.Event == "" && d.Verdict == nil || writeErr != nil {
			return
		}

		line := record{Elapsed: s.Elapsed.String(), Workload: s.Workload, Event: d.Event, Verdict: d.Verdict}

		if d.Event != "" {
			events++
		}

		if d.Held {
			line.Hold = &d.Hold
		}

		writeErr = write(w, output, line)
	}

	if err := trace.Replay(r, with, show); err != nil {
		return err
	}

	if writeErr == nil && output == "table" {
		_, writeErr = fmt.Fprintf(w, "%d events in %d samples over %s\n", events, samples, last)
	}

	if writeErr != nil {
		return fmt.Errorf("error writing the decisions: %w", writeErr)
	}

	return nil
}

func write(w io.Writer, output string, line record) error {
	if output == "json" {
		return json.NewEncoder(w).Encode(line)
	}

	text := ""

	if line.Hold != nil {
		text = fmt.Sprintf("%s %dm, hold %s", line.Hold.Rule, line.Hold.Millicores, line.Hold.Until-line.Hold.Since)

		if line.Hold.Observe {
			text += ", observed only"
		}
	}

	if line.Event != "" {
		if _, err := fmt.Fprintf(w, "%-10s %-10s %-36s %s\n", line.Elapsed, line.Event, line.Workload, text); err != nil {
			return err
		}
	}

	if v := line.Verdict; v != nil {
		_, err := fmt.Fprintf(w, "%-10s %-10s %-36s %s: %s (ended: %t; cores before %.2f, during %.2f, after %.2f)\n",
			line.Elapsed, "verdict", line.Workload, v.Outcome, v.Reason, v.Ended, v.Before.Cores(), v.During.Cores(), v.After.Cores())

		return err
	}

	return nil
}
