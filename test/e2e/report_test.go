// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/service/fleettest"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// reporting has times that are long enough for averages of the history's steps of 10 s. It reads no metrics, so the CPU usage alone
// names the culprit: what the load allocates depends on the machine.
const reporting = `
interval: 200ms
target: {metrics: {port: 0}}
rules: [{name: SpegelHighCPU, signal: cpu, threshold: 250m, for: 35s, window: 2s}]
ceiling: {cpu: 200m, floor: 100m, hold: 35s, releaseAfter: 4s, probe: 0s}
`

// healthyPeer is the address of a guard that reads the figures of a healthy node.
const healthyPeer = "127.1.0.1"

// TestReport_OfClosedLoop compares the report of a spegel that runs away, and of a healthy node, with the kernel's counters.
func TestReport_OfClosedLoop(t *testing.T) {
	reader := newReader(t, testNode(t))
	servePeer(t, reader)

	r := &readings{}
	l := newLoopWith(t, nil, func(l *loop) (*node.Guard, error) {
		l.runAway(t, l.spegel, l.peer)

		r.pod = l.spegel
		r.read(t)

		return l.node.StartGuardOf(t.Context(), reporting, reader.authority)
	})

	started := r.read(t)
	written := r.until(t, l, "ceiling", func(last reading) bool { return last.cpuMax != unlimited })
	r.until(t, l, "time under the ceiling", func(last reading) bool { return last.at >= written.at+30*time.Second })
	l.calm(t, l.spegel)

	lifted := r.until(t, l, "release", func(last reading) bool { return last.cpuMax == unlimited })
	r.until(t, l, "time after the ceiling", func(last reading) bool { return last.at >= lifted.at+45*time.Second })

	const args = " --timeout 2m -n 127.0.0.1," + healthyPeer

	var (
		markdown, html string
		cpus, sent     []string
		asked          reading
	)

	// Both forms are of the same history if none of its steps has ended meanwhile.
	for deadline := time.Now().Add(patience); !hasCells(html, cpus, sent); {
		require.True(t, time.Now().Before(deadline), "no report has the culprit in both forms, with the same figures: %s\n%s", markdown, html)

		asked = r.read(t)

		reader.run("spegelguardctl report" + args + " > report.md")
		reader.run("spegelguardctl report --form html" + args + " > report.html")

		markdown, html = reader.file("report.md"), reader.file("report.html")
		cpus, sent = culpritRow(markdown, "CPU"), culpritRow(markdown, "TX")
	}

	last := r.read(t)
	t.Log(markdown)

	assert.Regexp(t, `(?m)^127\.0\.0\.1 is the culprit, compared with the median of the others: CPU (over )?\d`, markdown, "the verdict")
	assert.Contains(t, markdown, "| "+healthyPeer+" | normal | CPU |")
	assert.Regexp(t, `\| 127\.0\.0\.1 \| apply \| max → 200m \| cpu \d+m above 250m`, markdown)
	assert.Regexp(t, `\| 127\.0\.0\.1 \| release \| 200m → max \|`, markdown)
	assert.Contains(t, markdown, workloadID+": ended: the breach is over")

	for _, period := range []struct {
		name           string
		from, to, late time.Duration
		cell           int
	}{
		{"before", started.at, written.at, written.at, cellBefore},
		{"under", written.at, lifted.at, lifted.at, cellUnder},
		{"after", lifted.at, asked.at, last.at, cellAfter},
	} {
		r.assertSteps(t, period.name, period.from, period.to, period.late, cpus[period.cell], sent[period.cell])
	}

	under, err := strconv.Atoi(strings.TrimSuffix(cpus[cellReduction], " %"))
	require.NoError(t, err, "the reduction of CPU: %s", cpus[cellReduction])
	assert.Less(t, under, -30, "the reduction of CPU")
	assert.Equal(t, 3, strings.Count(html, "<svg"), "charts of CPU, TX and node TX")
}

// The cells of a row of the culprit; the last one has the change after the ceiling.
const (
	cellBefore = iota
	cellUnder
	cellReduction
	cellAfter
	_
	cells
)

// culpritRow returns the cells of the culprit's row of a figure, or nil.
func culpritRow(markdown, figure string) []string {
	row := regexp.MustCompile(`(?m)^\| 127\.0\.0\.1 \| culprit \| ` + figure + ` \| (.*) \|$`).FindStringSubmatch(markdown)
	if row == nil {
		return nil
	}

	return strings.Split(row[1], " | ")
}

// hasCells returns whether the HTML form has the figures of some rows.
func hasCells(html string, rows ...[]string) bool {
	for _, row := range rows {
		if len(row) != cells {
			return false
		}

		for _, cell := range []int{cellBefore, cellUnder, cellAfter} {
			if !strings.Contains(html, "<td>"+row[cell]+"</td>") {
				return false
			}
		}
	}

	return true
}

// servePeer serves the guard of a healthy node until the test ends.
func servePeer(t *testing.T, reader *reader) {
	t.Helper()

	guard, err := fleettest.NewWith(t.Context(), fleettest.HealthyFigures(0), healthyPeer, 50321)
	require.NoError(t, err)

	wait, err := fleettest.Serve(t.Context(), reader.authority, guard)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, wait()) })
}

// file returns a file that a command has written.
func (r *reader) file(name string) string {
	r.t.Helper()

	text, err := os.ReadFile(filepath.Join(r.dir, name))
	require.NoError(r.t, err)

	return string(text)
}

// assertSteps compares the averages of a report over a time with the readings. The report has the steps of 10 s that lie in it as a
// whole, and was made between to and late. The test does not know when the steps begin: the averages of all possible ones are the bounds,
// with 10 % more.
func (r *readings) assertSteps(t *testing.T, name string, from, to, late time.Duration, cpu, tx string) {
	t.Helper()

	const step, margin = 10 * time.Second, 0.1

	reported, err := strconv.ParseFloat(strings.TrimSuffix(cpu, "m"), 64)
	require.NoError(t, err, "%s: CPU", name)

	reportedTX, err := humanize.ParseBytes(strings.TrimSuffix(tx, "/s"))
	require.NoError(t, err, "%s: TX", name)

	var cores, sent []float64

	for begin := from; begin < from+step; begin += step / 10 {
		for end := begin + (to - begin).Truncate(step); end <= late; end += step {
			c, s := r.rate(t, begin, end)
			cores, sent = append(cores, 1e3*c), append(sent, s)
		}
	}

	t.Logf("%-6s %s, %s; the kernel: %.0fm to %.0fm, %.0f to %.0f B/s", name, cpu, tx, slices.Min(cores), slices.Max(cores), slices.Min(sent), slices.Max(sent))
	assert.GreaterOrEqual(t, reported, (1-margin)*slices.Min(cores)-1, "%s: CPU", name)
	assert.LessOrEqual(t, reported, (1+margin)*slices.Max(cores)+1, "%s: CPU", name)
	assert.GreaterOrEqual(t, float64(reportedTX), (1-margin)*slices.Min(sent)-1, "%s: TX", name)
	assert.LessOrEqual(t, float64(reportedTX), (1+margin)*slices.Max(sent)+1, "%s: TX", name)
}
