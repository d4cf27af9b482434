// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/alerts"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/test/incident"
	"github.com/spegel-guard/spegel-guard/test/reaction"
)

const reactionsIntro = `
## From the alert to the ceiling

When the default rules react, counted from the moment at which a node becomes as busy as in its recording: the alert on allocation,
which leads, and the ceiling. In the closed loop (a sample per second, each ceiling limits the model of the workload) the CPU credit
at the start is random: the table has the earliest and the latest of 10 runs. The shipped traces (pkg/trace/testdata/recorded-*.jsonl)
have a sample each 30 s. ` + "`-`" + ` is never, or was not measured.

| recording | node | role | alert on allocation | ceiling | rule of the ceiling | in the trace: alert | ceiling |
| --- | --- | --- | --- | --- | --- | --- | --- |
`

const reactionsNotes = `
Only culprits get a ceiling, and no rule fires for another node. The tests in pkg/trace require this
(` + "`go test -v -run Default ./pkg/trace`" + ` prints each run).
`

// runs in the closed loop, and how long each lasts.
const (
	runs  = 10
	lasts = 30 * time.Minute
)

func reactions(recordings []incident.Recording) (string, error) {
	var b strings.Builder

	b.WriteString(reactionsIntro)

	for _, recording := range recordings {
		replayed, err := replay(recording.Name)
		if err != nil {
			return "", err
		}

		for _, node := range recording.Nodes {
			var (
				alert, ceiling []time.Duration
				rules          []string
			)

			for seed := range uint64(runs) {
				r := reaction.ToNode(node, lasts, seed)
				alert, ceiling, rules = append(alert, allocation(r)), append(ceiling, r.Ceiling), append(rules, r.Rule)
			}

			slices.Sort(rules)

			inTrace := replayed[node.Name]

			fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s | %s | %s | %s |\n", recording.Name, node.Name, node.Role, span(alert), span(ceiling),
				names(slices.Compact(rules)), span([]time.Duration{allocation(inTrace)}), span([]time.Duration{inTrace.Ceiling}))
		}
	}

	b.WriteString(reactionsNotes)

	return b.String(), nil
}

// replay returns the reactions to the shipped trace of a recording.
func replay(name string) (map[string]*reaction.Reaction, error) {
	file, err := os.Open("pkg/trace/testdata/recorded-" + name + ".jsonl")
	if err != nil {
		return nil, fmt.Errorf("failed to open the trace: %w", err)
	}

	defer file.Close() //nolint:errcheck // only read

	return reaction.ToTrace(file, config.Default())
}

// allocation returns when the alert on allocation fired; negative for never.
func allocation(r *reaction.Reaction) time.Duration {
	if at, ok := r.Fired[alerts.HighAllocation]; ok {
		return at
	}

	return -1
}

// span writes the earliest and the latest of some times, which are negative for never.
func span(times []time.Duration) string {
	first, last := slices.Min(times), slices.Max(times)

	switch {
	case last < 0:
		return "-"
	case first < 0:
		return "never to " + last.String()
	case first == last:
		return first.String()
	default:
		return first.String() + " to " + last.String()
	}
}

func names(rules []string) string {
	if slices.Equal(rules, []string{""}) {
		return "-"
	}

	return "`" + strings.Join(rules, "`, `") + "`"
}
