// SPDX-License-Identifier: MPL-2.0

package report

import (
	"fmt"
	"math"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/compare"
)

const none = "-"

// clock writes a time of day in UTC.
func clock(t time.Time) string {
	if t.IsZero() {
		return none
	}

	return t.UTC().Format("15:04:05")
}

// amount writes a value of a metric.
func amount(metric compare.Metric, value float64) string {
	if math.IsNaN(value) {
		return none
	}

	return metric.Format(value)
}

// change writes how a value compares with the one before: -64 %.
func change(before, now float64) string {
	if math.IsNaN(before) || math.IsNaN(now) || before <= 0 {
		return none
	}

	return fmt.Sprintf("%+.0f %%", 100*(now/before-1))
}

// Title of the report.
func (i Incident) Title() string {
	if i.From.IsZero() {
		return "Report of spegel-guard"
	}

	return fmt.Sprintf("Report of spegel-guard, %s to %s UTC", i.From.UTC().Format("2006-01-02 15:04"), i.To.UTC().Format("15:04"))
}

// Ceilings says in one sentence when ceilings were in force.
func (i Incident) Ceilings() string {
	switch {
	case i.Under.IsZero() && i.InForce:
		return "A ceiling is in force since before this time, or for less than 30 s."
	case i.Under.IsZero():
		return "No ceiling was in force for 30 s in this time."
	case i.InForce:
		return fmt.Sprintf("Ceilings are in force since %s.", clock(i.Under.From))
	default:
		return fmt.Sprintf("Ceilings were in force from %s to %s.", clock(i.Under.From), clock(i.Under.To))
	}
}

// cells of a row: CPU, TX and allocation before, under the ceilings with the change, and after.
func (r Row) cells() []string {
	cells := []string{r.Name, string(r.Role)}

	for _, value := range []struct {
		metric               compare.Metric
		before, under, after float64
	}{
		{compare.CPU, r.Before.CPU, r.Under.CPU, r.After.CPU},
		{compare.TX, r.Before.TX, r.Under.TX, r.After.TX},
		{compare.Alloc, r.Before.Allocation, r.Under.Allocation, r.After.Allocation},
	} {
		cells = append(cells, amount(value.metric, value.before), amount(value.metric, value.under), change(value.before, value.under),
			amount(value.metric, value.after))
	}

	return cells
}

// columns of the table of rows.
func columns() []string {
	return []string{
		"node", "role", "CPU before", "under", "change", "after", "TX before", "under", "change", "after",
		"allocation before", "under", "change", "after",
	}
}

// footnote says what the figures are.
const footnote = "Before are the ten minutes before the first ceiling, under from its write to the last release (probes included), after the rest. " +
	"The figures are averages of the pods' own counters; guards keep an hour of them, in steps of 10 s."
