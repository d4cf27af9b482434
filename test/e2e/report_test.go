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
	"sync"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
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

		return r.during(t, func() (*node.Guard, error) { return l.node.StartGuardOf(t.Context(), reporting, reader.authority) })
	})

	written := r.until(t, l, "ceiling", func(last reading) bool { return last.cpuMax != unlimited })
	r.until(t, l, "time under the ceiling", func(last reading) bool { return last.at >= written.at+30*time.Second })
	l.calm(t, l.spegel)

	lifted := r.until(t, l, "release", func(last reading) bool { return last.cpuMax == unlimited })
	r.until(t, l, "time after the ceiling", func(last reading) bool { return last.at >= lifted.at+45*time.Second })

	const args = " --timeout 2m -n 127.0.0.1," + healthyPeer

	var (
		markdown, html string
		cpus, sent     []string
		steps, newer   []step
	)

	// Both forms are of the same history, if no step has ended between their requests. The history has the steps, and maybe newer ones.
	for deadline := time.Now().Add(2 * patience); !hasCells(html, cpus, sent); {
		require.True(t, time.Now().Before(deadline), "no report has the culprit in both forms, with the same figures: %s\n%s", markdown, html)

		steps = stepsOf(t, l)

		var forms sync.WaitGroup

		forms.Go(func() { reader.run("spegelguardctl report" + args + " > report.md") })
		forms.Go(func() { reader.run("spegelguardctl report --form html" + args + " > report.html") })
		forms.Wait()

		newer = stepsOf(t, l)

		markdown, html = reader.file("report.md"), reader.file("report.html")
		cpus, sent = culpritRow(markdown, "CPU"), culpritRow(markdown, "TX")
	}

	end := r.read(t).at
	t.Log(markdown)

	assert.Regexp(t, `(?m)^127\.0\.0\.1 is the culprit, compared with the median of the others: CPU (over )?\d`, markdown, "the verdict")
	assert.Contains(t, markdown, "| "+healthyPeer+" | normal | CPU |")
	assert.Regexp(t, `\| 127\.0\.0\.1 \| apply \| max → 200m \| cpu \d+m above 250m`, markdown)
	assert.Regexp(t, `\| 127\.0\.0\.1 \| release \| 200m → max \|`, markdown)
	assert.Contains(t, markdown, workloadID+": ended: the breach is over")

	for _, period := range []struct {
		name     string
		from, to time.Duration
		cell     int
	}{
		{"before", 0, written.at, cellBefore},
		{"under", written.at, lifted.at, cellUnder},
		{"after", lifted.at, end, cellAfter},
	} {
		within, newerWithin := stepsWithin(steps, period.from, period.to), stepsWithin(newer, period.from, period.to)
		r.assertSteps(t, period.name, within, newerWithin, cpus[period.cell], sent[period.cell])
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

// step is the time that a point of the history covers, on CLOCK_BOOTTIME.
type step struct{ from, to time.Duration }

// stepsOf returns the steps of the history of newLoop's spegel.
func stepsOf(t *testing.T, l *loop) []step {
	t.Helper()

	response, err := guardv1alpha1.NewGuardServiceClient(l.guard.Client.Conn()).History(t.Context(), &guardv1alpha1.HistoryRequest{
		Target: workloadID, Since: durationpb.New(time.Hour),
	})
	require.NoError(t, err)

	now := boottime.Now()

	var steps []step

	for _, p := range response.GetMessages()[0].GetSeries()[0].GetPoints() {
		to := now + p.GetAt().AsTime().Sub(boottime.Wall(now))
		steps = append(steps, step{to - p.GetOver().AsDuration(), to})
	}

	return steps
}

// stepsWithin returns the steps that lie in a time as a whole.
func stepsWithin(steps []step, from, to time.Duration) []step {
	return slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return s.from < from || s.to > to })
}

// assertSteps compares the averages of a report over some steps with the readings, and allows 10 %. The first and the last step may be
// left out: the test reads cpu.max later than the guard writes it, and of two steps in the same ten seconds the report makes one. newer
// has the steps after the report, which may have some of those that ended meanwhile.
func (r *readings) assertSteps(t *testing.T, name string, steps, newer []step, cpu, tx string) {
	t.Helper()

	const margin = 0.1

	reported, err := strconv.ParseFloat(strings.TrimSuffix(cpu, "m"), 64)
	require.NoError(t, err, "%s: CPU", name)

	reportedTX, err := humanize.ParseBytes(strings.TrimSuffix(tx, "/s"))
	require.NoError(t, err, "%s: TX", name)

	require.GreaterOrEqual(t, len(steps), 2, "%s: steps", name)

	var cores, sent []float64

	require.GreaterOrEqual(t, len(newer), len(steps), "%s: newer steps", name)

	for _, first := range steps[:2] {
		for _, last := range newer[max(1, len(steps)-2):] {
			c, s := r.rate(t, first.from, last.to)
			cores, sent = append(cores, 1e3*c), append(sent, s)
		}
	}

	t.Logf("%-6s %s, %s over %d to %d steps; the kernel: %.0fm to %.0fm, %.0f to %.0f B/s", name, cpu, tx, len(steps), len(newer),
		slices.Min(cores), slices.Max(cores), slices.Min(sent), slices.Max(sent))
	assert.GreaterOrEqual(t, reported, (1-margin)*slices.Min(cores)-1, "%s: CPU", name)
	assert.LessOrEqual(t, reported, (1+margin)*slices.Max(cores)+1, "%s: CPU", name)
	assert.GreaterOrEqual(t, float64(reportedTX), (1-margin)*slices.Min(sent)-1, "%s: TX", name)
	assert.LessOrEqual(t, float64(reportedTX), (1+margin)*slices.Max(sent)+1, "%s: TX", name)
}
