// SPDX-License-Identifier: MPL-2.0

// Package release_test checks the workflows of GitHub, and runs the steps of a release as far as they need no service of GitHub.
package release_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"
)

const (
	root      = "../.."
	workflows = root + "/.github/workflows"
)

type workflow struct {
	Permissions map[string]string
	Jobs        map[string]job
}

type job struct {
	Permissions    map[string]string
	TimeoutMinutes int `yaml:"timeout-minutes"`
	Steps          []step
}

type step struct {
	Name, ID, Uses, Run string
	With, Env           map[string]any
}

// read returns the workflows by file name, and their text.
func read(t *testing.T) (map[string]workflow, map[string]string) {
	t.Helper()

	paths, err := filepath.Glob(workflows + "/*.yaml")
	require.NoError(t, err)
	require.Len(t, paths, 2)

	parsed, texts := map[string]workflow{}, map[string]string{}

	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)

		var w workflow
		require.NoError(t, yaml.Load(text, &w))

		parsed[filepath.Base(path)], texts[filepath.Base(path)] = w, string(text)
	}

	return parsed, texts
}

// TestWorkflows_PinActions: a tag of an action can be moved by its owner, and a digest cannot. The comment has the version.
func TestWorkflows_PinActions(t *testing.T) {
	_, texts := read(t)
	pinned := regexp.MustCompile(`^([\w-]+/[\w-]+)@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	digests := map[string]string{}

	for name, text := range texts {
		for line := range strings.Lines(text) {
			_, used, ok := strings.Cut(strings.TrimSpace(line), "uses: ")
			if !ok {
				continue
			}

			match := pinned.FindStringSubmatch(used)
			require.NotNil(t, match, "%s: %s", name, used)

			if before := digests[match[1]]; before != "" {
				assert.Equal(t, before, used, "one version of each action")
			}

			digests[match[1]] = used
		}
	}
}

// TestWorkflows_LeastPermissions: a job reads the source and no more, except for the one that publishes.
func TestWorkflows_LeastPermissions(t *testing.T) {
	parsed, texts := read(t)

	for name, w := range parsed {
		assert.Equal(t, map[string]string{"contents": "read"}, w.Permissions, name)

		for id, j := range w.Jobs {
			assert.Positive(t, j.TimeoutMinutes, "%s: %s has no time limit", name, id)

			if name == "release.yaml" && id == "release" {
				assert.Equal(t, map[string]string{"contents": "write", "packages": "write", "id-token": "write", "attestations": "write"}, j.Permissions)

				continue
			}

			assert.Empty(t, j.Permissions, "%s: %s", name, id)
			assert.NotContains(t, texts[name], "pull_request_target")
		}

		for id, j := range w.Jobs {
			for _, s := range j.Steps {
				// What a person named, such as a branch, must not become a command.
				assert.NotContains(t, s.Run, "${{", "%s: %s", name, id)

				if strings.HasPrefix(s.Uses, "actions/checkout@") {
					assert.Equal(t, false, s.With["persist-credentials"], "%s: %s", name, id)
				}
			}
		}
	}
}

// blocks says what runs each run block: this package in make test-release (here), a target of CI that developers run, too, or why it
// runs on GitHub alone.
var blocks = map[string]string{
	"apt-get update && apt-get install --yes --no-install-recommends ca-certificates curl gcc git libc6-dev make": "it installs packages",
	`git config --global --add safe.directory "$GITHUB_WORKSPACE"`:                                                "it changes the user's configuration of git",
	".ci/run":              "it runs this test",
	"make lint actionlint": "make check",
	"make test-schemas":    "make test",
	"make vulncheck":       "it is a check of every change by itself",
	"make deps-check":      here,
	"make reproducible":    here,

	`make release-check TAG="$GITHUB_REF_NAME"`:        here,
	"make release-files":                               here,
	"make release-image":                               here,
	"make release-sign":                                here,
	`make --silent release-output >> "$GITHUB_OUTPUT"`: here,
	"make release-verify":                              here,
	`make release-publish TAG="$GITHUB_REF_NAME"`:      here,
}

const here = "TestWorkflow"

// TestWorkflows_RunKnownBlocks: a run block is one target, so that it runs on any machine, and it is known who runs it.
func TestWorkflows_RunKnownBlocks(t *testing.T) {
	parsed, _ := read(t)

	makefile, err := os.ReadFile(root + "/Makefile")
	require.NoError(t, err)

	found := map[string]bool{}

	for name, w := range parsed {
		for id, j := range w.Jobs {
			for _, s := range j.Steps {
				if s.Run == "" {
					continue
				}

				found[s.Run] = true

				assert.NotEmpty(t, blocks[s.Run], "%s: %s runs %q: make it a target, and add it to the table", name, id, s.Run)

				if command, ok := strings.CutPrefix(s.Run, "make "); ok {
					for target := range strings.FieldsSeq(command) {
						if strings.HasPrefix(target, "-") || strings.Contains(target, "=") {
							continue
						}

						if target == ">>" {
							break
						}

						assert.Contains(t, string(makefile), "\n"+target+": ", "no such target")
					}
				}
			}
		}
	}

	for block := range blocks {
		assert.True(t, found[block], "no workflow runs %q", block)
	}
}
