// SPDX-License-Identifier: MPL-2.0

//go:build unix

package record

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
)

func recorded(at int) *trace.Sample {
	return &trace.Sample{Workload: "a/b/c", Container: "1", Sample: policy.Sample{At: time.Duration(at) * time.Second}}
}

// readTrace counts a trace's headers and samples, and checks that every line of it is whole.
func readTrace(t *testing.T, path string) (headers, samples int) {
	t.Helper()

	file, err := os.Open(path)
	require.NoError(t, err)

	defer file.Close()

	for line, err := range trace.Read(file) {
		require.NoError(t, err)

		if line.Header != nil {
			headers++
		} else {
			samples++
		}
	}

	return headers, samples
}

func TestTrace_KeepsTwoFilesOfBoundedSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.jsonl")
	r := &Trace{}

	r.Configure(config.Trace{Path: path, Limit: config.MustAmount("64Ki")}, trace.Header{Version: trace.Version})

	for i := range 5000 {
		r.Record(recorded(i), zap.NewNop())
	}

	r.Close()

	for _, name := range []string{path, path + ".1"} {
		headers, samples := readTrace(t, name)
		assert.Equal(t, 1, headers, "each file can be replayed by itself")
		assert.Positive(t, samples)

		info, err := os.Stat(name)
		require.NoError(t, err)
		assert.Less(t, info.Size(), int64(65<<10))
	}
}

func TestTrace_AppendsAfterACutOffLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.jsonl")
	cfg, header := config.Trace{Path: path, Limit: config.MustAmount("1M")}, trace.Header{Version: trace.Version}

	first := &Trace{}
	first.Configure(cfg, header)
	first.Record(recorded(1), zap.NewNop())
	first.Close()

	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.WriteString(`{"sample":{"workload":"a/b/c","at":12`)
	require.NoError(t, err)
	require.NoError(t, file.Close())

	second := &Trace{}
	second.Configure(cfg, header)
	second.Record(recorded(2), zap.NewNop())
	second.Configure(cfg, trace.Header{Version: trace.Version, Config: "mode: observe"})
	second.Record(recorded(3), zap.NewNop())
	second.Close()

	headers, samples := readTrace(t, path)
	assert.Equal(t, 3, headers, "one per process, and one for the new configuration")
	assert.Equal(t, 3, samples)
}

func TestTrace_LogsItsFailureOnce(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	r := &Trace{}

	r.Configure(config.Trace{Path: filepath.Join(t.TempDir(), "nowhere", "trace.jsonl"), Limit: config.MustAmount("1M")}, trace.Header{})

	for i := range 10 {
		r.Record(recorded(i), zap.New(core))
	}

	assert.Equal(t, 1, logs.Len())
}

// TestTrace_WritesToRegularFilesOnly: trace.path may name anything, and the policy must not block on it.
func TestTrace_WritesToRegularFilesOnly(t *testing.T) {
	dir := t.TempDir()
	pipe, read := filepath.Join(dir, "pipe"), filepath.Join(dir, "read")

	for _, path := range []string{pipe, read} {
		require.NoError(t, syscall.Mkfifo(path, 0o600))
	}

	reader, err := os.OpenFile(read, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	require.NoError(t, err)

	defer reader.Close()

	for name, path := range map[string]string{"pipe": pipe, "pipe with a reader": read, "device": os.DevNull, "folder": dir} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.ErrorLevel)
			r := &Trace{}

			r.Configure(config.Trace{Path: path, Limit: config.MustAmount("64Ki")}, trace.Header{Version: trace.Version})
			r.Record(recorded(1), zap.New(core))

			assert.False(t, r.Enabled(), "recording stops")
			require.Equal(t, 1, logs.Len())
			assert.Equal(t, path, logs.All()[0].ContextMap()["path"])
		})
	}
}
