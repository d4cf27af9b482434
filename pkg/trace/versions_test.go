// SPDX-License-Identifier: MPL-2.0

package trace_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/trace"
)

// TestReplay_ReadsTracesOfReleases: the traces of releases are never recorded again.
func TestReplay_ReadsTracesOfReleases(t *testing.T) {
	for _, release := range []string{"v0.1"} {
		t.Run(release, func(t *testing.T) {
			file, err := os.Open("testdata/" + release + "/culprit.jsonl")
			require.NoError(t, err)

			defer file.Close()

			var steps, held int

			require.NoError(t, trace.Replay(file, nil, func(s trace.Step) {
				steps++

				if s.Decision.Held {
					held++
				}
			}))

			assert.Equal(t, 180, steps)
			// The recorded ceiling was in force during the probe that these decisions make, so its result is unknown.
			assert.Equal(t, 87, held)
		})
	}
}

// TestRead_RefusesNewerVersion: the samples before a header of a newer version are read, and none after it under the
// configuration of another header.
func TestRead_RefusesNewerVersion(t *testing.T) {
	const same, more, other = `{"header":{"version":2,"config":""}}`, `{"header":{"version":2,"config":"","node":"a"}}`, `{"header":{"version":2,"config":{}}}`

	old := encode(t, header(""), sample(1, 1))

	for name, test := range map[string]struct {
		text string
		line string
		read int
	}{
		"at the beginning":          {same + "\n" + encode(t, sample(2, 2)), "line 1", 0},
		"more fields":               {more + "\n" + encode(t, sample(2, 2)), "line 1", 0},
		"other types":               {other + "\n", "line 1", 0},
		"after an upgrade":          {old + "\n" + more + "\n" + encode(t, sample(2, 2)), "line 4", 2},
		"at the end":                {old + more, "line 3", 2},
		"before another header":     {old + same + "\n" + encode(t, header(""), sample(2, 2)), "line 3", 2},
		"after a cut-off line":      {old + `{"sample":{"work` + "\n" + more + "\n", "line 4", 2},
		"newer header, then an old": {more + "\n" + old, "line 1", 0},
	} {
		t.Run(name, func(t *testing.T) {
			read := 0

			var failed error

			for _, err := range trace.Read(strings.NewReader(test.text)) {
				if failed = err; err == nil {
					read++
				}
			}

			require.ErrorIs(t, failed, trace.ErrVersion)
			require.ErrorContains(t, failed, test.line+": ")
			require.ErrorContains(t, failed, "version 2 of a newer spegel-guard, this program reads version 1: use the newer spegelguardctl")
			assert.Equal(t, test.read, read)
		})
	}
}
