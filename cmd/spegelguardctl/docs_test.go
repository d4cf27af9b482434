// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/test/doc"
)

// TestCommand_RunsAsDocumented: each command of ours in a document does what it is there for, on a fleet.
func TestCommand_RunsAsDocumented(t *testing.T) {
	documents, err := doc.All("../..")
	require.NoError(t, err)

	trace, err := filepath.Abs("../../pkg/trace/testdata/incident.jsonl")
	require.NoError(t, err)

	file := filepath.Join(t.TempDir(), "guard.yaml")
	require.NoError(t, os.WriteFile(file, []byte("mode: observe\nmetrics: {listen: \":9470\"}\n"), 0o600))

	fill := strings.NewReplacer(
		"NODE", "talos-prod-2", "FILE", file, "guard.yaml", file, "new.yaml", file, "NEW", file, "trace.jsonl", trace, "TRACE", trace,
	)

	c := newCluster(t)
	// Guards keep the history by the machine's clock.
	c.now = time.Now
	count := 0

	t.Chdir(t.TempDir()) // support writes a file

	for _, document := range documents {
		for _, command := range document.Commands() {
			if command.Program() != "spegelguardctl" {
				continue
			}

			line, _, _ := strings.Cut(command.Line, " > ")
			args := doc.Words(fill.Replace(line))[1:]
			count++

			// A terminal is needed for it (TestTop_InTmux), and this one prints how to be completed.
			if args[0] == "top" && !slices.Contains(args, "--once") || args[0] == "completion" {
				continue
			}

			// Without a flag that ends it, it goes on.
			if slices.Contains(args, "-f") || slices.Contains(args, "-w") {
				continue
			}

			got := c.run(args...)
			assert.Contains(t, []int{0, exitThrottled, exitUnavailable}, got.code, "%s: %s\n%s", document.Path, command.Line, got.stderr)
			assert.NotContains(t, got.stderr, "unknown", command.Line)
		}
	}

	assert.Greater(t, count, 20)
	t.Logf("%d commands", count)
}
