// SPDX-License-Identifier: MPL-2.0

// Package dashboard holds the Grafana dashboard of the guards' metrics (pkg/series), and knows its queries.
package dashboard

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
)

// JSON is the dashboard, for Grafana's import.
//
//go:embed spegel-guard.json
var JSON []byte

// Query is one of its queries in PromQL.
type Query struct {
	// Title of the panel, or the annotation's name.
	Title string
	Expr  string
	// Transition tells that it finds events: without one it has no answer.
	Transition bool
}

// Queries are all of them, with Grafana's variables replaced: every job and instance, a rate over a window, and a
// range, both as PromQL has durations.
func Queries(window, over string) ([]Query, error) {
	var document struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Annotations struct {
			List []struct{ Name, Expr string }
		}
	}

	if err := json.Unmarshal(JSON, &document); err != nil {
		return nil, fmt.Errorf("error parsing the dashboard: %w", err)
	}

	fill := strings.NewReplacer("$job", ".*", "$instance", ".*", "$__rate_interval", window, "$__interval", window, "$__range", over)

	var queries []Query

	for _, panel := range document.Panels {
		for _, target := range panel.Targets {
			queries = append(queries, Query{Title: panel.Title, Expr: fill.Replace(target.Expr)})
		}
	}

	for _, annotation := range document.Annotations.List {
		queries = append(queries, Query{Title: annotation.Name, Expr: fill.Replace(annotation.Expr), Transition: true})
	}

	return queries, nil
}
