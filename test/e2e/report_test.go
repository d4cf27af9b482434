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
ceiling: {cpu: 300m, floor: 100m, hold: 35s, releaseAfter: 4s, probe: 0s}
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

	const nodes = "-n 127.0.0.1," + healthyPeer

	var markdown, html string

	culprit := regexp.MustCompile(`(?m)^\| 127\.0\.0\.1 \| culprit \|.*$`)

	// Both forms are of the same history if none of its steps has ended meanwhile.
	for again, deadline := "", time.Now().Add(patience); again == "" || !slices.Equal(culprit.FindAllString(markdown, -1), culprit.FindAllString(again, -1)); {
		require.True(t, time.Now().Before(deadline), "no two reports are equal: %s\n%s", markdown, again)
		reader.run("spegelguardctl report " + nodes + " > report.md")
		reader.run("spegelguardctl report --form html " + nodes + " > report.html")
		reader.run("spegelguardctl report " + nodes + " > again.md")

		markdown, html, again = reader.file("report.md"), reader.file("report.html"), reader.file("again.md")
	}

	last := r.read(t)
	t.Log(markdown)

	// The figures of a row: before, under, its change, after and its change.
	figures := func(figure string) []string {
		row := regexp.MustCompile(`(?m)^\| 127\.0\.0\.1 \| culprit \| ` + figure + ` \| (.*) \|$`).FindStringSubmatch(markdown)
		require.NotNil(t, row, "the row of the culprit's %s", figure)

		return strings.Split(row[1], " | ")
	}

	cpus, sent := figures("CPU"), figures("TX")

	assert.Regexp(t, `(?m)^127\.0\.0\.1 is the culprit, compared with the median of the others: CPU (over )?\d`, markdown, "the verdict")
	assert.Contains(t, markdown, "| "+healthyPeer+" | normal | CPU |")
	assert.Regexp(t, `\| 127\.0\.0\.1 \| apply \| max → 300m \| cpu \d+m above 250m`, markdown)
	assert.Regexp(t, `\| 127\.0\.0\.1 \| release \| 300m → max \|`, markdown)
	assert.Contains(t, markdown, workloadID+": ended: the breach is over")

	for _, period := range []struct {
		name     string
		from, to time.Duration
		cell     int
	}{{"before", started.at, written.at, 0}, {"under", written.at, lifted.at, 1}, {"after", lifted.at, last.at, 3}} {
		cpu, tx := cpus[period.cell], sent[period.cell]
		r.assertSteps(t, period.name, period.from, period.to, cpu, tx)
		assert.Contains(t, html, "<td>"+cpu+"</td>", "the same figures in HTML")
	}

	under, err := strconv.Atoi(strings.TrimSuffix(cpus[2], " %"))
	require.NoError(t, err, "the reduction of CPU: %s", cpus[2])
	assert.Less(t, under, -30, "the reduction of CPU")
	assert.Equal(t, 3, strings.Count(html, "<svg"), "charts of CPU, TX and node TX")
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
// whole, and the test does not know when they begin: the averages of all possible ones are the bounds, with 10 % more.
func (r *readings) assertSteps(t *testing.T, name string, from, to time.Duration, cpu, tx string) {
	t.Helper()

	const step, margin = 10 * time.Second, 0.1

	reported, err := strconv.ParseFloat(strings.TrimSuffix(cpu, "m"), 64)
	require.NoError(t, err, "%s: CPU", name)

	reportedTX, err := humanize.ParseBytes(strings.TrimSuffix(tx, "/s"))
	require.NoError(t, err, "%s: TX", name)

	var cores, sent []float64

	for begin := from; begin < from+step; begin += step / 10 {
		c, s := r.rate(t, begin, begin+(to-begin).Truncate(step))
		cores, sent = append(cores, 1e3*c), append(sent, s)
	}

	t.Logf("%-6s %s, %s; the kernel: %.0fm to %.0fm, %.0f to %.0f B/s", name, cpu, tx, slices.Min(cores), slices.Max(cores), slices.Min(sent), slices.Max(sent))
	assert.GreaterOrEqual(t, reported, (1-margin)*slices.Min(cores)-1, "%s: CPU", name)
	assert.LessOrEqual(t, reported, (1+margin)*slices.Max(cores)+1, "%s: CPU", name)
	assert.GreaterOrEqual(t, float64(reportedTX), (1-margin)*slices.Min(sent)-1, "%s: TX", name)
	assert.LessOrEqual(t, float64(reportedTX), (1+margin)*slices.Max(sent)+1, "%s: TX", name)
}
