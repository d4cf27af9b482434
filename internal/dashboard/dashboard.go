// SPDX-License-Identifier: MPL-2.0

// Package dashboard has the Grafana dashboard for the metrics of internal/series, and its queries.
package dashboard

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
)

// JSON is the dashboard in the format of Grafana's import.
//
//go:embed spegel-guard.json
var JSON []byte

// Query is a query of the dashboard in PromQL.
type Query struct {
	// Title is that of the panel, or the name of the annotation.
	Title string
	Expr  string
	// Transition marks the query of an annotation. It has no result if there was no event.
	Transition bool
}

// Queries returns all queries for every cluster, job and instance, with Grafana's variables replaced. The window of rates and the
// time range are durations of PromQL.
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
		return nil, fmt.Errorf("failed to parse the dashboard: %w", err)
	}

	fill := strings.NewReplacer("$cluster", ".*", "$job", ".*", "$instance", ".*", "$__rate_interval", window, "$__interval", window, "$__range", over)

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
