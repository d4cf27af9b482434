// SPDX-License-Identifier: MPL-2.0

package report

import (
	"fmt"
	"math"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/compare"
)

const none = "-"

// Clock writes a time in UTC, with the date if the report is about more than one day.
func (i Incident) Clock(t time.Time) string {
	if t.IsZero() {
		return none
	}

	first := i.From
	if len(i.Timeline) > 0 && i.Timeline[0].At.Before(first) {
		first = i.Timeline[0].At
	}

	if first.UTC().Format(time.DateOnly) != i.To.UTC().Format(time.DateOnly) {
		return t.UTC().Format(time.DateTime)
	}

	return t.UTC().Format(time.TimeOnly)
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

	percent := 100 * (now/before - 1)

	// What is left is not nothing.
	if now > 0 && percent < -99 {
		return fmt.Sprintf("%.1f %%", max(-99.9, percent))
	}

	return fmt.Sprintf("%+.0f %%", percent)
}

// Title of the report.
func (i Incident) Title() string {
	if i.From.IsZero() {
		return "Report of spegel-guard"
	}

	from, to, layout := i.From.UTC(), i.To.UTC(), "15:04"
	if from.Format(time.DateOnly) != to.Format(time.DateOnly) {
		layout = "2006-01-02 15:04"
	}

	return fmt.Sprintf("Report of spegel-guard, %s to %s UTC", from.Format("2006-01-02 15:04"), to.Format(layout))
}

// Ceilings says when ceilings were in force.
func (i Incident) Ceilings() string {
	text := i.lastCeilings()

	if !i.Earlier.IsZero() {
		text += fmt.Sprintf(" Earlier ones ended at %s and are in the timeline only.", i.Clock(i.Earlier))
	}

	return text
}

func (i Incident) lastCeilings() string {
	switch {
	case i.Under.IsZero() && i.InForce:
		return "A ceiling is in force since before this time, or for less than 30 s."
	case i.Under.IsZero():
		return "No ceiling was in force for 30 s in this time."
	case i.InForce:
		return fmt.Sprintf("Ceilings are in force since %s.", i.Clock(i.Under.From))
	default:
		return fmt.Sprintf("Ceilings were in force from %s to %s.", i.Clock(i.Under.From), i.Clock(i.Under.To))
	}
}

// cells of a node's rows, one for each figure: before, under the ceilings and after, with the changes.
func (r Row) cells() [][]string {
	var rows [][]string

	for _, value := range []struct {
		name                 string
		metric               compare.Metric
		before, under, after float64
	}{
		{"CPU", compare.CPU, r.Before.CPU, r.Under.CPU, r.After.CPU},
		{"TX", compare.TX, r.Before.TX, r.Under.TX, r.After.TX},
		{"allocation", compare.Alloc, r.Before.Allocation, r.Under.Allocation, r.After.Allocation},
		{"node TX", compare.NodeTX, r.Before.NodeTX, r.Under.NodeTX, r.After.NodeTX},
	} {
		rows = append(rows, []string{
			r.Name, string(r.Role), value.name, amount(value.metric, value.before),
			amount(value.metric, value.under), change(value.before, value.under),
			amount(value.metric, value.after), change(value.before, value.after),
		})
	}

	return rows
}

// columns of the table of rows.
func columns() []string {
	return []string{"node", "role", "figure", "before", "under ceilings", "change", "after", "change"}
}

// footnote says what the figures are.
const footnote = "The times are the same for all nodes. Before: the ten minutes before the first ceiling of any node. Under ceilings: from its " +
	"write to the end of the last one, probes between them included. After: the time since then. A figure is the average over what was " +
	"measured of that time. Changes are relative to before. CPU, TX and allocation are those of all pods of the node together, node TX is " +
	"the traffic of its physical links. Guards keep these figures for a day."
