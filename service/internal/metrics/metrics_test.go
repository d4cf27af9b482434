// SPDX-License-Identifier: MPL-2.0

//go:build linux

package metrics_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/dashboard"
	"github.com/spegel-guard/spegel-guard/internal/series"
	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/fleettest"
	"github.com/spegel-guard/spegel-guard/service/internal/metrics"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/test/golden"
)

// incident returns the metrics of the guard on the incident's node, with a ceiling in force.
func incident(t *testing.T) (*metrics.Metrics, state.State, *observe.Feed) {
	t.Helper()

	guard, err := fleettest.NewWith(t.Context(), fleettest.IncidentFigures()[1], "127.0.0.1", 1)
	require.NoError(t, err)

	feed := observe.NewFeed()

	stats, err := safe.StateListAll[*resources.TargetStats](t.Context(), guard.State)
	require.NoError(t, err)

	for s := range stats.All() {
		sample := *s.TypedSpec()
		sample.Counters = resources.Counters{UsageUsec: 36e6, ThrottledUsec: 12e6, TXBytes: 1.4e9, RXBytes: 1e9}
		sample.Application.Allocated = 48e9
		sample.Application.MirrorRequestsPerSecond, sample.Application.MirrorRequests, sample.Application.MirrorHits = resources.Measured(1), 100, 93
		sample.Application.Ready = resources.Measured(1)
		feed.Put(s.Metadata().ID(), &sample, observe.Answer{})
	}

	// A rule with credit, and one that is unavailable.
	for name, spec := range map[string]resources.RuleStatusSpec{
		"SpegelCPUCredit": {Signal: "cpu", State: "ok", Value: 1.8, Threshold: 0.4, Credit: 0.25, HasCredit: true, Mode: "enforce"},
		"Unavailable":     {Signal: "allocation", State: "unavailable", Threshold: 16e6, Reason: "metrics are off", Mode: "observe"},
		"Pressure":        {Signal: "cpuPressure", State: "ok", Value: 0.1, Threshold: 0.5, Mode: "observe"},
		"Expression":      {Signal: "expression", State: "ok", Mode: "observe"},
	} {
		rule := resources.NewRuleStatus(fleettest.TargetOf("talos-prod-2") + "/" + name)
		*rule.TypedSpec() = spec
		require.NoError(t, guard.State.Create(t.Context(), rule))
	}

	require.NoError(t, safe.StateModify(t.Context(), guard.State, resources.NewNodeStats(), func(r *resources.NodeStats) error {
		r.TypedSpec().ContentBytes = resources.Reading{Value: 61e9, Provenance: resources.ProvenanceMeasured}

		return nil
	}))

	return metrics.New(guard.State, feed, "1.2.3"), guard.State, feed
}

// scrape returns what Prometheus gets.
func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()

	response := get(t, m.Handler(false), "GET", metrics.Path)
	require.Equal(t, 200, response.Code, response.Body.String())

	return response.Body.String()
}

// own returns the lines of the guard's own metrics.
func own(text string) string {
	var lines []string

	for line := range strings.Lines(text) {
		if strings.Contains(line, "spegel_guard_") {
			lines = append(lines, line)
		}
	}

	return strings.Join(lines, "")
}

// timeless replaces what differs between two runs.
func timeless(text string) string {
	text = regexp.MustCompile(`goversion="[^"]*"`).ReplaceAllString(text, `goversion="go"`)

	return regexp.MustCompile(`(spegel_guard_rule_pending_seconds\{[^}]*NetworkTX"[^}]*\}) .*`).ReplaceAllString(text, "$1 SECONDS")
}

func TestMetrics_Golden(t *testing.T) {
	m, _, _ := incident(t)

	m.SampleDuration.Observe(0.0002)
	m.Reaction.Observe(0.0009)
	m.Count(&resources.GuardActionSpec{Action: resources.ActionApply, Target: fleettest.TargetOf("talos-prod-2")})

	golden.Compare(t, "testdata/incident.prom", timeless(own(scrape(t, m))))
}

func TestMetrics_ExportsAllSeries(t *testing.T) {
	m, _, _ := incident(t)
	text := scrape(t, m)
	known := map[string]bool{}

	for _, s := range series.All() {
		known[s.Name] = true
		assert.True(t, strings.Contains(text, fmt.Sprintf("# TYPE %s %s\n", s.Name, s.Kind)), "%s is not exported", s.Name)
		assert.NotEmpty(t, s.Help, s.Name)
	}

	for _, match := range regexp.MustCompile(`(?m)^# TYPE (spegel_guard_\S+)`).FindAllStringSubmatch(text, -1) {
		assert.True(t, known[match[1]], "%s is exported and not in internal/series", match[1])
	}

	assert.NotContains(t, text, "5f2a", "container ids change with each restart")
	assert.Contains(t, text, "process_resident_memory_bytes")
}

func TestMetrics_PassesLint(t *testing.T) {
	m, _, _ := incident(t)

	problems, err := testutil.GatherAndLint(m.Gatherer())
	require.NoError(t, err)
	assert.Empty(t, problems)
}

func TestMetrics_PassesPromtool(t *testing.T) {
	promtool := os.Getenv("SPEGEL_GUARD_PROMTOOL")
	if promtool == "" {
		t.Skip("SPEGEL_GUARD_PROMTOOL is not set: make test-cli")
	}

	m, _, _ := incident(t)

	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(own(scrape(t, m)))

	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Empty(t, string(output))
	t.Logf("promtool check metrics: no complaint about %d metrics", len(series.All()))
}

func TestMetrics_OmitsUnknownValues(t *testing.T) {
	m, st, feed := incident(t)
	id := fleettest.TargetOf("talos-prod-2")

	feed.Put(id, &resources.TargetStatsSpec{
		CPU: resources.Unavailable("why"), RXBytesPerSecond: resources.Unavailable("why"), TXBytesPerSecond: resources.Warming(),
	}, observe.Answer{})

	ceiling := resources.NewCeilingStatus(id)
	require.NoError(t, st.Destroy(t.Context(), ceiling.Metadata()))

	text := scrape(t, m)

	for _, name := range []string{series.CPU, series.TX, series.Ceiling, series.AllocationBytes, series.CPUSeconds, series.RXBytes} {
		assert.NotContains(t, text, "\n"+name+"{")
	}

	assert.Contains(t, text, "\n"+series.TXBytes+"{", "only its rate is warming")

	assert.Contains(t, text, series.Provenance+`{container="registry",namespace="spegel",pod="spegel-2x7k2",provenance="unavailable",signal="cpu"} 1`)
	assert.Contains(t, text, series.Provenance+`{container="registry",namespace="spegel",pod="spegel-2x7k2",provenance="warming",signal="networkTx"} 1`)

	feed.Remove(id)
	assert.NotContains(t, scrape(t, m), "\n"+series.LastSample+"{", "a target that is gone has event counters only")
	assert.Contains(t, scrape(t, m), "\n"+series.Throttles+"{")
}

func TestMetrics_ExportsAnEmptyCredit(t *testing.T) {
	m, st, _ := incident(t)

	_, err := safe.StateUpdateWithConflicts(t.Context(), st,
		resources.NewRuleStatus(fleettest.TargetOf("talos-prod-2")+"/SpegelCPUCredit").Metadata(), func(r *resources.RuleStatus) error {
			r.TypedSpec().Credit = 0

			return nil
		})
	require.NoError(t, err)
	assert.Contains(t, scrape(t, m), series.RuleCredit+`{container="registry",namespace="spegel",pod="spegel-2x7k2",rule="SpegelCPUCredit"} 0`+"\n")
}

func TestMetrics_OmitsObservedCeilings(t *testing.T) {
	m, st, _ := incident(t)

	_, err := safe.StateUpdateWithConflicts(t.Context(), st, resources.NewCeilingStatus(fleettest.TargetOf("talos-prod-2")).Metadata(),
		func(r *resources.CeilingStatus) error {
			r.TypedSpec().State, r.TypedSpec().AppliedAtClock = resources.CeilingObserved, 0

			return nil
		})
	require.NoError(t, err)
	assert.NotContains(t, scrape(t, m), "\n"+series.Ceiling+"{")
}

// TestMetrics_ExportsACeilingThatCannotBeLifted: it is in force.
func TestMetrics_ExportsACeilingThatCannotBeLifted(t *testing.T) {
	m, st, _ := incident(t)

	_, err := safe.StateUpdateWithConflicts(t.Context(), st, resources.NewCeilingStatus(fleettest.TargetOf("talos-prod-2")).Metadata(),
		func(r *resources.CeilingStatus) error {
			r.TypedSpec().State = resources.CeilingFailed

			return nil
		})
	require.NoError(t, err)
	assert.Contains(t, scrape(t, m), "\n"+series.Ceiling+"{")
}

func TestMetrics_CountsActions(t *testing.T) {
	m, _, _ := incident(t)
	id := fleettest.TargetOf("talos-prod-2")

	value := func(name, more string) string {
		pattern := name + `\{` + more + `\} (\S+)`
		match := regexp.MustCompile(pattern).FindStringSubmatch(scrape(t, m))
		require.NotNil(t, match, pattern)

		return match[1]
	}

	const workload = `container="registry",namespace="spegel",pod="spegel-2x7k2"`

	for _, name := range []string{series.Throttles, series.Releases, series.Probes, series.ExternalChanges} {
		assert.Equal(t, "0", value(name, workload), "the series exists before the first event")
	}

	for _, action := range []resources.GuardActionSpec{
		{Action: resources.ActionApply}, {Action: resources.ActionProbe}, {Action: resources.ActionApply}, {Action: resources.ActionExternalChange},
		{Action: resources.ActionRelease}, {Action: resources.ActionAdjust}, {Action: resources.ActionObserve}, {Action: resources.ActionFail},
		{Action: resources.ActionRelease, By: resources.Person{Subject: "somebody"}},
	} {
		action.Target = id
		m.Count(&action)
	}

	assert.Equal(t, "2", value(series.Throttles, workload))
	assert.Equal(t, "1", value(series.Releases, workload), "the override itself is not counted")
	assert.Equal(t, "1", value(series.Probes, workload))
	assert.Equal(t, "1", value(series.ExternalChanges, workload))

	m.Failed(fmt.Errorf("error writing cpu.max: %w", &os.PathError{Op: "write", Path: "cpu.max", Err: syscall.EROFS}))
	m.Failed(errors.New("something else"))
	assert.Equal(t, "1", value(series.ApplyFailures, `errno="EROFS"`))
	assert.Equal(t, "1", value(series.ApplyFailures, `errno="other"`))
	assert.Equal(t, "0", value(series.ApplyFailures, `errno="EACCES"`))
}

// TestDashboard_QueriesExportedMetrics checks that each metric in the queries is exported.
// TestMetrics_BoundsEventCounters: pods come and go with their own names, and nobody may scrape meanwhile.
func TestMetrics_BoundsEventCounters(t *testing.T) {
	m, _, _ := incident(t)

	for i := range 10_000 {
		m.Count(&resources.GuardActionSpec{Action: resources.ActionApply, Target: fmt.Sprintf("spegel/pod-%d/registry", i)})
	}

	text := scrape(t, m)
	assert.Equal(t, 256, strings.Count(text, "\n"+series.Throttles+"{"))
	assert.Contains(t, text, `pod="pod-9999"`, "the last ones are kept")
	assert.Contains(t, text, `pod="spegel-2x7k2"`, "and those that exist")
}

func TestDashboard_QueriesExportedMetrics(t *testing.T) {
	m, _, _ := incident(t)
	m.SampleDuration.Observe(1)

	text := scrape(t, m)

	queries, err := dashboard.Queries("1m", "6h")
	require.NoError(t, err)
	require.NotEmpty(t, queries)

	names := regexp.MustCompile(`(spegel_guard|process|go)_\w+`)

	for _, query := range queries {
		assert.NotContains(t, query.Expr, "$", query.Title)

		found := names.FindAllString(query.Expr, -1)
		assert.NotEmpty(t, found, query.Title)

		for _, name := range found {
			assert.Regexp(t, `(?m)^`+name+`[{ ]`, text, "%s queries a metric that is not exported", query.Title)
		}
	}

	assert.True(t, bytes.Contains(dashboard.JSON, []byte(`"iconColor"`)), "transitions are annotations")
}

func TestMetrics_FailsIfTheStateCannotBeRead(t *testing.T) {
	m := metrics.New(state.WrapCore(broken{}), observe.NewFeed(), "1")

	response := get(t, m.Handler(false), "GET", metrics.Path)
	assert.Equal(t, 500, response.Code)
	assert.Contains(t, response.Body.String(), errBroken.Error())
}

// TestHandler_SurvivesPanics: of a collector, which the registry calls in a goroutine of its own.
func TestHandler_SurvivesPanics(t *testing.T) {
	m := metrics.New(nil, observe.NewFeed(), "1")

	for range 2 {
		response := get(t, m.Handler(false), "GET", metrics.Path)
		assert.Equal(t, 500, response.Code)
		assert.Contains(t, response.Body.String(), "failed to collect the metrics: "+task.ErrPanicked.Error())
	}
}

var errBroken = errors.New("the state is broken")

type broken struct{ state.CoreState }

// List implements state.CoreState.
func (broken) List(context.Context, resource.Kind, ...state.ListOption) (resource.List, error) {
	return resource.List{}, errBroken
}
