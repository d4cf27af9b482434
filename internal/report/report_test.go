// SPDX-License-Identifier: MPL-2.0

package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/internal/report"
	"github.com/spegel-guard/spegel-guard/test/golden"
	"github.com/spegel-guard/spegel-guard/test/incident"
)

var start = time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)

// points are half an hour: before, under and after a ceiling of 20 minutes.
func points(before, under, after report.Usage) []report.Point {
	var all []report.Point

	for step := 1; step <= 240; step++ {
		usage := before

		switch at := time.Duration(step) * 10 * time.Second; {
		case at > 35*time.Minute:
			usage = after
		case at > 15*time.Minute:
			usage = under
		}

		all = append(all, report.Point{At: start.Add(time.Duration(step) * 10 * time.Second), Over: 10 * time.Second, Usage: usage})
	}

	return all
}

// targets are one with the points.
func targets(before, under, after report.Usage) [][]report.Point {
	return [][]report.Point{points(before, under, after)}
}

// usage with the node's traffic, of which the pod's is a part.
func usage(cores, tx, allocatedPerMinute, nodeTX float64) report.Usage {
	return report.Usage{CPU: cores, TX: tx, Allocation: allocatedPerMinute / 60, NodeTX: nodeTX}
}

// nodes returns the three nodes of the incident, with a ceiling on the culprit.
func nodes() []report.Node {
	const target = "spegel/spegel-2x7k2/registry"

	table := incident.Table()
	before := func(i int) report.Usage {
		return report.Usage{CPU: table[i].CPU, TX: table[i].TX, Allocation: table[i].Allocation, NodeTX: table[i].NodeTX}
	}

	all := []report.Node{
		{Name: table[0].Name, Targets: targets(before(0), usage(0.16, 0.45e6, 190e6, 1.15e6), usage(0.02, 1e3, 8e6, 0.7e6))},
		{
			Name: table[1].Name, Targets: targets(before(1), usage(0.5, 0.6e6, 2.7e9, 1.1e6), usage(0.03, 2e3, 9e6, 0.5e6)),
			Actions: []report.Action{
				{
					At: start.Add(15 * time.Minute), Kind: "apply", Target: target, Reason: "cpu 1800m above 550m for 10m",
					Before: "max 100000", After: "50001 100000", Evidence: "/run/spegel-guard/evidence/000001-spegel",
				},
				{At: start.Add(25 * time.Minute), Kind: "probe", Target: target, Reason: "the hold is over", Before: "50001 100000", After: "max 100000"},
				{
					At: start.Add(25*time.Minute + 20*time.Second), Kind: "apply", Target: target,
					Reason: "the probe measured the breach of SpegelHighCPU again: cpu 1803m, above 550m", Before: "max 100000", After: "50001 100000",
				},
				{At: start.Add(35 * time.Minute), Kind: "release", Target: target, Reason: "the target is gone", Before: "50001 100000", After: "max 100000"},
			},
			Verdicts: map[string]string{target: "contained: the breach goes on without the ceiling (1803m); under it CPU was 72 % lower, TX was 57 % lower"},
			Advice:   []string{"restart the pod | `now` <b>"},
		},
		{Name: table[2].Name, Targets: targets(before(2), usage(0.15, 0.44e6, 180e6, 0.74e6), usage(0.02, 1e3, 8e6, 0.3e6))},
	}

	for i, node := range all {
		for j, p := range node.Targets[0] {
			node.Targets[0][j].NodeTX = math.NaN()

			// Their steps end later, and the last one is not over.
			link := report.Point{At: p.At.Add(5 * time.Second), Over: p.Over, Usage: report.Unmeasured()}
			link.NodeTX = p.NodeTX

			if j < len(node.Targets[0])-1 {
				all[i].Links = append(all[i].Links, link)
			}
		}
	}

	return all
}

func TestReport_GoldenIncident(t *testing.T) {
	built := report.Build(nodes(), []report.Entry{{Node: "talos-test-1", Why: "connection refused"}})

	var markdown, html bytes.Buffer

	require.NoError(t, report.Markdown(&markdown, built))
	require.NoError(t, report.HTML(&html, built))

	golden.Compare(t, "testdata/incident.md", markdown.String())
	golden.Compare(t, "testdata/incident.html", html.String())

	wellFormed(t, html.String())
	assert.NotContains(t, html.String(), "http", "it needs no network")
	assert.NotContains(t, html.String(), "<b>", "the text of a node is no markup")
}

// TestReport_IsPrintable: no text of a node has an escape sequence for the terminal that a report is written to.
func TestReport_IsPrintable(t *testing.T) {
	const hostile = "a\x1b]0;title\x07\u202eb\u009b31m"

	all := nodes()
	all[0].Name, all[0].Advice, all[0].Verdicts = hostile, []string{hostile}, map[string]string{hostile: hostile}
	all[0].Actions = []report.Action{{
		At: start.Add(time.Minute), Kind: hostile, Target: hostile, Reason: hostile, Before: hostile, After: "max" + hostile, Evidence: hostile,
	}}

	built := report.Build(all, []report.Entry{{Node: hostile, Why: hostile}})

	var out bytes.Buffer

	require.NoError(t, report.Markdown(&out, built))
	require.NoError(t, report.HTML(&out, built))
	assert.Contains(t, out.String(), "| a]0;titleb31m | ")

	for line := range strings.Lines(out.String()) {
		assert.NotContains(t, strings.TrimSuffix(line, "\n"), "\x1b")
		assert.False(t, strings.ContainsFunc(strings.TrimSpace(line), func(r rune) bool { return !unicode.IsPrint(r) }), "%q", line)
	}
}

// TestMarkdown_EscapesNodes: the text of a node stays in its cell, and is no link and no picture that a viewer of the report loads.
func TestMarkdown_EscapesNodes(t *testing.T) {
	for text, want := range map[string]string{
		"![x](http://x/)":  `!\[x](http://x/)`,
		"[x](http://x/)":   `\[x](http://x/)`,
		"a | b":            `a \| b`,
		`a \| b`:           `a \\\| b`,
		"<img src=x>\n# x": "&lt;img src=x> # x",
		"`a`":              "'a'",
	} {
		t.Run(text, func(t *testing.T) {
			all := nodes()
			all[0].Actions = append(all[0].Actions, report.Action{At: start.Add(time.Minute), Kind: "apply", Target: "a/b/c", Reason: text})

			var out bytes.Buffer

			require.NoError(t, report.Markdown(&out, report.Build(all, nil)))
			assert.Contains(t, out.String(), "| "+want+" |\n")
		})
	}
}

// wellFormed requires that every element is closed, void ones apart.
func wellFormed(t *testing.T, html string) {
	t.Helper()

	decoder := xml.NewDecoder(bytes.NewReader([]byte(html)))
	decoder.Entity = xml.HTMLEntity

	// A decoder that knows void elements takes what is not closed for closed.
	var open []string

	for {
		token, err := decoder.RawToken()
		if errors.Is(err, io.EOF) {
			require.Empty(t, open, "elements that are not closed")

			return
		}

		require.NoError(t, err)

		switch token := token.(type) {
		case xml.StartElement:
			if !slices.Contains(xml.HTMLAutoClose, token.Name.Local) {
				open = append(open, token.Name.Local)
			}
		case xml.EndElement:
			require.NotEmpty(t, open, "</%s> ends nothing", token.Name.Local)
			require.Equal(t, open[len(open)-1], token.Name.Local, "the element that ends")

			open = open[:len(open)-1]
		}
	}
}

func TestBuild_ComparesBeforeUnderAndAfter(t *testing.T) {
	built := report.Build(nodes(), nil)

	assert.Equal(t, report.Period{From: start.Add(5 * time.Minute), To: start.Add(15 * time.Minute)}, built.Before)
	assert.Equal(t, report.Period{From: start.Add(15 * time.Minute), To: start.Add(35 * time.Minute)}, built.Under)
	assert.Equal(t, report.Period{From: start.Add(35 * time.Minute), To: start.Add(40 * time.Minute)}, built.After)
	assert.False(t, built.InForce)

	require.Len(t, built.Rows, 3)
	assert.Equal(t, compare.Culprit, built.Rows[1].Role)
	assert.Equal(t, compare.Affected, built.Rows[0].Role)
	assert.InDelta(t, 1.8, built.Rows[1].Before.CPU, 1e-9)
	assert.InDelta(t, 0.5, built.Rows[1].Under.CPU, 1e-9)
	assert.InDelta(t, 0.03, built.Rows[1].After.CPU, 1e-9)
	assert.InDelta(t, 1.9e6, built.Rows[1].Before.NodeTX, 1e-3)
	assert.InDelta(t, 1.1e6, built.Rows[1].Under.NodeTX, 1e-3)
}

func TestBuild_Ceilings(t *testing.T) {
	at := func(minute int, kind string) report.Action {
		return report.Action{At: start.Add(time.Duration(minute) * time.Minute), Kind: kind, Target: "a/b/c"}
	}

	for name, test := range map[string]struct {
		actions []report.Action
		want    string
	}{
		"none":               {nil, "No ceiling was in force for 30 s in this time."},
		"in force":           {[]report.Action{at(10, "apply")}, "Ceilings are in force since 03:10:00."},
		"released":           {[]report.Action{at(10, "apply"), at(20, "release")}, "Ceilings were in force from 03:10:00 to 03:20:00."},
		"applied again":      {[]report.Action{at(10, "apply"), at(12, "release"), at(20, "apply"), at(25, "release")}, "Ceilings were in force from 03:10:00 to 03:25:00."},
		"for a moment":       {[]report.Action{at(10, "apply"), at(10, "release")}, "No ceiling was in force for 30 s in this time."},
		"since before":       {[]report.Action{at(-10, "apply")}, "A ceiling is in force since before this time, or for less than 30 s."},
		"ended before":       {[]report.Action{at(-10, "apply"), at(-5, "release")}, "No ceiling was in force for 30 s in this time."},
		"observed only":      {[]report.Action{at(10, "would-apply")}, "No ceiling was in force for 30 s in this time."},
		"adopted at a start": {[]report.Action{at(10, "adopt"), at(20, "release")}, "Ceilings were in force from 03:10:00 to 03:20:00."},
		"ended by a probe":   {[]report.Action{at(10, "apply"), at(20, "probe")}, "Ceilings were in force from 03:10:00 to 03:20:00."},
		"probed":             {[]report.Action{at(10, "apply"), at(20, "probe"), at(21, "apply")}, "Ceilings are in force since 03:10:00."},
		"probed and released": {
			[]report.Action{at(10, "apply"), at(20, "probe"), at(22, "release")}, "Ceilings were in force from 03:10:00 to 03:20:00.",
		},
		"probed since before": {
			[]report.Action{at(-10, "apply"), at(10, "probe"), at(11, "apply"), at(20, "probe")}, "No ceiling was in force for 30 s in this time.",
		},
		"yielded": {[]report.Action{at(10, "apply"), at(20, "external-change")}, "Ceilings were in force from 03:10:00 to 03:20:00."},
		"reasserted": {
			[]report.Action{at(10, "apply"), at(15, "external-change"), at(16, "apply"), at(20, "release")},
			"Ceilings were in force from 03:10:00 to 03:20:00.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := []report.Node{{Name: "a", Targets: targets(usage(1, 1, 1, 1), usage(1, 1, 1, 1), usage(1, 1, 1, 1)), Actions: test.actions}}
			assert.Equal(t, test.want, report.Build(nodes, nil).Ceilings())
		})
	}
}

// TestBuild_TellsTheLastIncident of a day: ceilings an hour apart or more are not averaged with it.
func TestBuild_TellsTheLastIncident(t *testing.T) {
	at := func(hour, minutes int) time.Time {
		return start.Add(time.Duration(60*hour+minutes) * time.Minute)
	}
	action := func(at time.Time, kind string) report.Action {
		return report.Action{At: at, Kind: kind, Target: "a/b/c"}
	}

	node := report.Node{Name: "a", Actions: []report.Action{
		action(at(1, 0), "apply"), action(at(1, 30), "release"),
		action(at(20, 0), "apply"), action(at(20, 20), "probe"), action(at(20, 21), "apply"), action(at(20, 40), "release"),
		action(at(21, 0), "apply"), action(at(21, 30), "release"),
	}}

	for minute := range 24 * 60 {
		node.Links = append(node.Links, report.Point{At: at(0, minute+1), Over: time.Minute, Usage: usage(1, 1, 1, 1)})
	}

	built := report.Build([]report.Node{node}, nil)

	assert.Equal(t, report.Period{From: at(19, 50), To: at(20, 0)}, built.Before)
	assert.Equal(t, report.Period{From: at(20, 0), To: at(21, 30)}, built.Under, "two ceilings that are 20 minutes apart")
	assert.Equal(t, report.Period{From: at(21, 30), To: at(24, 0)}, built.After)
	assert.Equal(t, "Report of spegel-guard, 2026-01-05 03:00 to 2026-01-06 03:00 UTC", built.Title())
	assert.Equal(t, "Ceilings were in force from 2026-01-05 23:00:00 to 2026-01-06 00:30:00. "+
		"Earlier ones ended at 2026-01-05 04:30:00 and are in the timeline only.", built.Ceilings())
}

// TestBuild_SeparatesIncidentsThatAProbeEnded: a probe that measures no breach is the last action of a ceiling.
func TestBuild_SeparatesIncidentsThatAProbeEnded(t *testing.T) {
	at := func(hour, minutes int) time.Time {
		return start.Add(time.Duration(60*hour+minutes) * time.Minute)
	}
	node := report.Node{Name: "a"}

	for _, hour := range []int{1, 20} {
		for minutes, kind := range map[int]string{0: "apply", 30: "probe", 31: "apply", 50: "probe"} {
			node.Actions = append(node.Actions, report.Action{At: at(hour, minutes), Kind: kind, Target: "a/b/c"})
		}
	}

	slices.SortFunc(node.Actions, func(a, b report.Action) int { return a.At.Compare(b.At) })

	for minute := range 24 * 60 {
		node.Links = append(node.Links, report.Point{At: at(0, minute+1), Over: time.Minute, Usage: usage(1, 1, 1, 1)})
	}

	built := report.Build([]report.Node{node}, nil)

	assert.Equal(t, report.Period{From: at(20, 0), To: at(20, 50)}, built.Under)
	assert.Equal(t, report.Period{From: at(20, 50), To: at(24, 0)}, built.After)
	assert.Equal(t, at(1, 50), built.Earlier)
	assert.False(t, built.InForce)
}

// TestHTML_DrawsNoLineOverAGap, which a restart of a guard leaves.
func TestHTML_DrawsNoLineOverAGap(t *testing.T) {
	whole := points(usage(1, 1, 1, 1), usage(1, 1, 1, 1), usage(1, 1, 1, 1))

	for name, test := range map[string]struct {
		points []report.Point
		want   int
	}{"none": {whole, 1}, "a gap": {slices.Concat(whole[:100], whole[110:]), 2}, "no first": {whole[10:], 1}} {
		t.Run(name, func(t *testing.T) {
			var html bytes.Buffer

			require.NoError(t, report.HTML(&html, report.Build([]report.Node{{Name: "a", Targets: [][]report.Point{test.points}, Links: test.points}}, nil)))
			assert.Equal(t, 3*test.want, strings.Count(html.String(), "<polyline"), "CPU, TX and node TX")
		})
	}
}

func TestMarkdown_WritesWhatIsLeft(t *testing.T) {
	for name, test := range map[string]struct {
		after float64
		want  string
	}{"nothing": {0, "-100 %"}, "nearly nothing": {1e-6, "-99.9 %"}, "little": {0.0074, "-99.3 %"}, "more than before": {2, "+100 %"}} {
		t.Run(name, func(t *testing.T) {
			nodes := []report.Node{{
				Name: "a", Targets: targets(usage(1, 0, 0, 0), usage(1, 0, 0, 0), usage(test.after, 0, 0, 0)),
				Actions: []report.Action{{At: start.Add(15 * time.Minute), Kind: "apply"}, {At: start.Add(35 * time.Minute), Kind: "release"}},
			}}

			var out bytes.Buffer

			require.NoError(t, report.Markdown(&out, report.Build(nodes, nil)))
			assert.Contains(t, out.String(), test.want+" |")
		})
	}
}

// TestBuild_WithoutFigures: guards that have just started, and values that nobody measured.
func TestBuild_WithoutFigures(t *testing.T) {
	unknown := report.Unmeasured()

	for name, nodes := range map[string][]report.Node{
		"no node": nil, "no points": {{Name: "a"}}, "unknown": {{Name: "a", Targets: targets(unknown, unknown, unknown)}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer

			require.NoError(t, report.Markdown(&out, report.Build(nodes, nil)))
			require.NoError(t, report.HTML(&out, report.Build(nodes, nil)))
			assert.NotContains(t, out.String(), "NaN")
		})
	}
}

// TestHTML_ChartHasTheCeiling: one line for each time between the writes, at the level of the ceiling; none during the probe.
func TestHTML_ChartHasTheCeiling(t *testing.T) {
	var html bytes.Buffer

	require.NoError(t, report.HTML(&html, report.Build(nodes(), nil)))

	// 40 minutes are 900 pixels, and 1800m with the headroom are 180.
	ceilings := regexp.MustCompile(`<line class="ceiling" x1="(\d+)" y1="(\d+)" x2="(\d+)" y2="(\d+)"/>`).FindAllStringSubmatch(html.String(), -1)
	require.Len(t, ceilings, 2)
	assert.Equal(t, []string{"338", "132", "563", "132"}, ceilings[0][1:])
	assert.Equal(t, []string{"570", "132", "788", "132"}, ceilings[1][1:])
}

// TestHTML_CeilingEndsWithItsCgroup: the release of a cgroup that is gone has no cpu.max after it.
func TestHTML_CeilingEndsWithItsCgroup(t *testing.T) {
	all := nodes()
	all[1].Actions[3].After = ""

	built := report.Build(all, nil)

	var html, markdown bytes.Buffer

	require.NoError(t, report.HTML(&html, built))
	require.NoError(t, report.Markdown(&markdown, built))

	assert.Contains(t, html.String(), `<line class="ceiling" x1="570" y1="132" x2="788" y2="132"/>`)
	assert.Contains(t, markdown.String(), "| release | - | the target is gone |")
}
