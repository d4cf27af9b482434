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

func runReplay(t *testing.T, args ...string) (string, error) {
	t.Helper()

	var out strings.Builder

	cmd := newReplayCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true

	err := cmd.Execute()

	return out.String(), err
}

func TestReplayPrintsTheDecisions(t *testing.T) {
	out, err := runReplay(t, traces+"incident.jsonl")
	require.NoError(t, err)
	assert.Contains(t, out, "trip       spegel/spegel-x7k2p/registry")
	assert.Contains(t, out, "SpegelCPUCredit 500m, hold 10m0s")
	assert.Contains(t, out, "verdict")
	assert.Contains(t, out, "ended: false")
	assert.Contains(t, out, "5 events in 360 samples over 59m50s")

	out, err = runReplay(t, traces+"idle.jsonl")
	require.NoError(t, err)
	assert.Equal(t, "0 events in 720 samples over 1h59m50s\n", out)
}

func TestReplayUnderAnotherConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte("interval: 10s\nrules: [{name: Tight, signal: cpu, threshold: 200m, for: 1m}]"), 0o600))

	out, err := runReplay(t, traces+"victim.jsonl", "--config", path, "-o", "json")
	require.NoError(t, err)
	assert.Contains(t, out, `"event":"trip","hold":{"rule":"Tight"`)
}

func TestReplaySaysWhatIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broken.yaml")
	require.NoError(t, os.WriteFile(path, []byte("mode: kill"), 0o600))

	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{traces + "idle.jsonl", "--config", path}, `line 1: mode: "kill" is not allowed`},
		{[]string{traces + "idle.jsonl", "-o", "xml"}, `--output "xml" is not allowed, allowed is table or json`},
		{[]string{"nowhere.jsonl"}, "error opening the trace"},
		{[]string{path}, "error reading trace line 1"},
	} {
		_, err := runReplay(t, test.args...)
		assert.ErrorContains(t, err, test.want)
	}
}
