// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spegel-guard/spegel-guard/internal/dashboard"
	"github.com/spegel-guard/spegel-guard/internal/series"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/test/node"
	"github.com/spegel-guard/spegel-guard/test/prometheus"
)

const (
	metricsAddress    = "127.0.0.1:9470"
	prometheusAddress = "127.0.0.1:9090"
)

// exporting is the fast configuration with a rule for each panel, and metrics. Its threshold is higher, because the guard reads the metrics of
// the workload every second.
const exporting = `
interval: 200ms
target: {metrics: {interval: 1s}}
rules:
  - {name: SpegelHighCPU, signal: cpu, threshold: 400m, for: 3s, window: 2s}
  - {name: SpegelHighNetworkTX, signal: networkTx, threshold: 500k/s, for: 3s, window: 2s}
  - {name: SpegelCPUCredit, signal: cpu, credit: {earn: 400m, capacity: 1h}, window: 2s}
  - {name: SpegelHighMemoryAllocation, mode: observe, signal: allocation, threshold: 1G/min, for: 3s, window: 3s}
ceiling: {cpu: 500m, floor: 100m, hold: 5s, releaseAfter: 3s, probe: 2s, backoff: {max: 80s}}
metrics: {listen: "` + metricsAddress + `"}
`

// TestDashboard_QueriesReturnData: Debian's Prometheus scrapes the guard during a breach, an external change, a probe, an override and
// its release. Each query of the dashboard must return data at some time.
func TestDashboard_QueriesReturnData(t *testing.T) {
	l := newLoop(t, exporting, nil)

	prometheus.Run(t, "/usr/bin/prometheus", prometheusAddress, `
global: {scrape_interval: 1s}
scrape_configs: [{job_name: spegel-guard, static_configs: [{targets: ["`+metricsAddress+`"]}]}]
`)
	waitQuery(t, `up == 1`)
	waitQuery(t, series.State+`{state="ok"} == 1`)

	began := time.Now()

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)
	waitQuery(t, fmt.Sprintf("abs(%s - 0.5) < 0.001", series.Ceiling))
	waitQuery(t, series.Throttles+" >= 1")

	// An external change of cpu.max; the workload stays throttled until a probe. One in a probe does not count.
	require.Eventually(t, func() bool {
		if cpuMax(t, l.spegel) == ceiling500 {
			require.NoError(t, node.SetCPUMax(l.spegel.Cgroup, "90000 100000"))
		}

		return len(ask(t, series.ExternalChanges+" >= 1")) > 0
	}, 2*patience, 500*time.Millisecond, "no external change is counted")
	waitQuery(t, series.Probes+" >= 1")

	// Probes lift the ceiling, after an external change it is not in force until it is applied again, and a scrape that fails leaves a gap
	// in all series. So the queries are repeated until the guard did nothing during all of them, and on a slow machine not without end:
	// each must have returned data once.
	var window string

	during := map[string]bool{}

	for deadline, quiet := time.Now().Add(2*patience), false; !quiet && time.Now().Before(deadline); {
		waitQuery(t, series.Ceiling)

		before, err := l.newestAction(t.Context())
		asked := time.Now()
		window = fmt.Sprintf("%.0fs", time.Since(began).Seconds()+30)

		for expr, answered := range answers(t, window) {
			during[expr] = during[expr] || answered
		}

		scraped := fmt.Sprintf("min_over_time(up[%.0fs]) == 1", math.Ceil(time.Since(asked).Seconds())+1)
		after, errAfter := l.newestAction(t.Context())

		quiet = errors.Join(err, errAfter) == nil && after == before && len(ask(t, series.Ceiling)) > 0 && len(ask(t, scraped)) > 0
	}

	l.calm(t, l.spegel)

	_, err := l.guard.WaitState(t.Context(), 2*patience, resources.StateOK)
	require.NoError(t, err)

	// A probe may have ended the ceiling of the rule, and counts as no release. The end of an override does.
	operator := l.operator(t)

	_, err = operator.Throttle(t.Context(), &guardv1alpha1.ThrottleRequest{CeilingMillicores: 200, For: durationpb.New(10 * time.Minute)})
	require.NoError(t, err)
	waitCPUMax(t, l, l.spegel, ceiling200, patience)

	_, err = operator.Resume(t.Context(), &guardv1alpha1.ResumeRequest{})
	require.NoError(t, err)
	waitQuery(t, series.Releases+" >= 1")
	waitQuery(t, "absent("+series.Ceiling+")")

	window = fmt.Sprintf("%.0fs", time.Since(began).Seconds()+30)
	after := answers(t, window)

	queries, err := dashboard.Queries(window, window)
	require.NoError(t, err)

	onlyDuring := 0

	for _, query := range queries {
		expr := strings.ReplaceAll(query.Expr, window, "")
		assert.True(t, during[expr] || after[expr], "%s returns no data: %s", query.Title, query.Expr)

		if during[expr] && !after[expr] {
			onlyDuring++
		}
	}

	t.Logf("%d queries of the dashboard returned data, %d of them only under the ceiling", len(queries), onlyDuring)
}

// answers runs all queries of the dashboard. It returns whether each returned data, by the expression without the window.
func answers(t *testing.T, window string) map[string]bool {
	t.Helper()

	queries, err := dashboard.Queries(window, window)
	require.NoError(t, err)

	answered := map[string]bool{}

	for _, query := range queries {
		// The window differs between calls.
		answered[strings.ReplaceAll(query.Expr, window, "")] = len(ask(t, query.Expr)) > 0
	}

	return answered
}

// waitQuery waits until a query returns data.
func waitQuery(t *testing.T, query string) {
	t.Helper()

	require.Eventually(t, func() bool { return len(ask(t, query)) > 0 }, 2*patience, 500*time.Millisecond, query)
}

// newestAction returns the id of the last action of the guard, which is its number.
func (l *loop) newestAction(ctx context.Context) (newest string, err error) {
	actions, err := safe.StateListAll[*resources.GuardAction](ctx, l.guard.Client.COSI)
	if err != nil {
		return "", err
	}

	for action := range actions.All() {
		newest = max(newest, action.Metadata().ID())
	}

	return newest, nil
}

// ask returns the instant vector of a query.
func ask(t *testing.T, query string) []any {
	t.Helper()

	return prometheus.Query(t, prometheusAddress, query)
}
