// SPDX-License-Identifier: MPL-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const traces = "../../pkg/trace/testdata/"

func runReplay(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()

	var out, notes strings.Builder

	a := newApp()
	a.stdout, a.stderr = &out, &notes

	root := a.root()
	root.SetArgs(append([]string{"replay"}, args...))

	err = root.Execute()

	return out.String(), notes.String(), err
}

func TestReplay_PrintsDecisions(t *testing.T) {
	out, notes, err := runReplay(t, traces+"incident.jsonl")
	require.NoError(t, err)
	assert.Regexp(t, `trip +spegel/spegel-x7k2p/registry +SpegelHighMemoryAllocation +500m \(observed only\)`, out)
	assert.Regexp(t, `trip +spegel/spegel-x7k2p/registry +SpegelCPUCredit +500m +10m`, out)
	assert.Contains(t, out, "verdict")
	assert.Contains(t, out, "contained: the breach goes on without the ceiling (1824m); under it CPU was 73 % lower")
	assert.Equal(t, "6 events in 360 samples over 59m50s\n", notes)

	_, notes, err = runReplay(t, traces+"idle.jsonl")
	require.NoError(t, err)
	assert.Equal(t, "0 events in 720 samples over 1h59m50s\n", notes)
}

func TestReplay_UsesAnotherConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte("interval: 10s\nrules: [{name: Tight, signal: cpu, threshold: 200m, for: 1m}]"), 0o600))

	out, _, err := runReplay(t, traces+"affected.jsonl", "--config", path, "-o", "jsonpath={.event} {.hold.rule}")
	require.NoError(t, err)
	assert.Contains(t, out, "trip Tight\n")
}

// TestReplay_TellsThatABaselineIsLearning: no event would mislead otherwise.
func TestReplay_TellsThatABaselineIsLearning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte("interval: 10s\nrules: [{name: Unusual, signal: cpu, threshold: 100m, baseline: {times: 3}}]"), 0o600))

	_, notes, err := runReplay(t, traces+"incident.jsonl", "--config", path)
	require.NoError(t, err)
	assert.Equal(t, "0 events in 360 samples over 59m50s\nUnusual of spegel/spegel-x7k2p/registry could not fire, learning: 0h of 24h\n", notes)
}

func TestReplay_ReportsMistakes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broken.yaml")
	require.NoError(t, os.WriteFile(path, []byte("mode: kill"), 0o600))

	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{traces + "idle.jsonl", "--config", path}, `"kill"`},
		{[]string{traces + "idle.jsonl", "-o", "xml"}, `invalid --output "xml": must be table, wide, yaml, json or jsonpath=TEMPLATE`},
		{[]string{"nowhere.jsonl"}, "failed to open the trace"},
		{[]string{path}, "trace line 1"},
	} {
		t.Run(test.want, func(t *testing.T) {
			_, _, err := runReplay(t, test.args...)
			assert.ErrorContains(t, err, test.want)
		})
	}
}
