// SPDX-License-Identifier: MPL-2.0

package release_test

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/release"
)

// cosign returns the program that signs, which make test-release builds.
func cosign(t *testing.T) string {
	t.Helper()

	path := os.Getenv("SPEGEL_GUARD_COSIGN")
	if path == "" {
		t.Skip("SPEGEL_GUARD_COSIGN names no cosign: run make test-release")
	}

	return path
}

// run is one run of the release job.
type run struct {
	dir, output, published string
	env                    []string
}

// newRun copies the source to a folder, dated as a release is, with a registry on the loopback, a key and a gh that only notes what it was
// asked for.
func newRun(t *testing.T, folder string) *run {
	t.Helper()

	signer, base := cosign(t), t.TempDir()
	r := &run{dir: filepath.Join(base, folder), output: filepath.Join(base, "output"), published: filepath.Join(base, "published")}

	copyTree(t, r.dir)

	changelog, err := os.ReadFile(filepath.Join(r.dir, "CHANGELOG.md"))
	require.NoError(t, err)

	dated := strings.Replace(string(changelog), "(unreleased)", "(2026-12-01)", 1)
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "CHANGELOG.md"), []byte(dated), 0o600))

	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	t.Cleanup(server.Close)

	programs := filepath.Join(base, "bin")
	require.NoError(t, os.Mkdir(programs, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(programs, "gh"), []byte("#!/bin/sh\nprintf '%s\\n' \"$@\" > "+r.published+"\n"), 0o700))

	manifest, err := extension.ReadManifest(root)
	require.NoError(t, err)

	r.env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"), "GITHUB_OUTPUT="+r.output, "GITHUB_REF_NAME="+manifest.Version,
		"REGISTRY="+strings.TrimPrefix(server.URL, "http://")+"/You", "REPOSITORY=https://github.com/You/spegel-guard",
		"COSIGN="+signer, "COSIGN_PASSWORD=", "KEY="+filepath.Join(base, "cosign.key"), "HOME="+base, "GOPATH="+goEnv(t, "GOPATH"), "GOCACHE="+goEnv(t, "GOCACHE"))

	r.command(t, base, signer+" generate-key-pair")

	return r
}

// command runs a command as a workflow does.
func (r *run) command(t *testing.T, dir, text string) {
	t.Helper()

	out, err := r.try(t, dir, text)
	require.NoError(t, err, "%s: %s", text, out)
}

func (r *run) try(t *testing.T, dir, text string) (string, error) {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), "bash", "-eo", "pipefail", "-c", text)
	cmd.Dir, cmd.Env = dir, r.env

	out, err := cmd.CombinedOutput()

	return string(out), err
}

// file returns a file of the release without white space at its ends.
func (r *run) file(t *testing.T, name string) string {
	t.Helper()

	data, err := os.ReadFile(filepath.Join(r.dir, "dist/release", name))
	require.NoError(t, err)

	return strings.TrimSpace(string(data))
}

// TestWorkflow_Release runs the steps of the release workflow in two folders, each with a registry of its own.
func TestWorkflow_Release(t *testing.T) {
	cosign(t)

	parsed, _ := read(t)

	var steps []string

	for _, id := range []string{"test", "release"} {
		for _, s := range parsed["release.yaml"].Jobs[id].Steps {
			if blocks[s.Run] == here {
				steps = append(steps, s.Run)
			}
		}
	}

	require.Len(t, steps, 7)

	first, second := newRun(t, "a"), newRun(t, "another/folder")

	for _, r := range []*run{first, second} {
		for _, block := range steps {
			r.command(t, r.dir, block)
		}
	}

	_, digest, _ := strings.Cut(first.file(t, "spegel-guard.image"), "@")
	_, again, _ := strings.Cut(second.file(t, "spegel-guard.image"), "@")
	assert.Equal(t, digest, again, "digest of the image in two folders")
	assert.Equal(t, first.file(t, release.SumsFile), second.file(t, release.SumsFile), "archives in two folders")

	reference, err := name.NewDigest(first.file(t, "spegel-guard.image"))
	require.NoError(t, err)

	index, err := remote.Index(reference)
	require.NoError(t, err)

	pushed, err := index.Digest()
	require.NoError(t, err)
	assert.Equal(t, digest, pushed.String())

	output, err := os.ReadFile(first.output)
	require.NoError(t, err)
	assert.Equal(t, "name="+reference.Context().Name()+"\ndigest="+digest+"\n", string(output))

	published, err := os.ReadFile(first.published)
	require.NoError(t, err)
	assert.Contains(t, string(published), "release\ncreate\nv0.1.0\n--verify-tag\n")

	for _, platform := range release.Platforms {
		assert.Contains(t, string(published), "_"+platform.OS+"_"+platform.Arch+".")
	}

	assert.Contains(t, first.file(t, release.NotesFile), reference.String())

	t.Run("krew accepts its manifest", func(t *testing.T) {
		first.command(t, first.dir, "GOFLAGS= go run sigs.k8s.io/krew/cmd/validate-krew-manifest@v0.4.3 -skip-install -manifest dist/release/spegel-guard.yaml")
	})

	t.Run("a changed file is refused", func(t *testing.T) {
		path := filepath.Join(second.dir, "dist/release", release.SumsFile)
		require.NoError(t, os.WriteFile(path, []byte(second.file(t, release.SumsFile)+"\n\n"), 0o600))

		out, err := second.try(t, second.dir, "make release-verify")
		require.Error(t, err, out)
		assert.Contains(t, out, "verify-blob", "the image is as it was")
	})

	t.Run("another key is refused", func(t *testing.T) {
		second.command(t, second.dir, "$COSIGN generate-key-pair")

		out, err := second.try(t, second.dir, "make release-verify KEY=cosign.key")
		require.Error(t, err, out)
		assert.NotContains(t, out, "verify-blob", "the image's signature comes first")
	})

	t.Run("another tag is refused", func(t *testing.T) {
		out, err := second.try(t, second.dir, "make release-check TAG=v9.9.9")
		require.Error(t, err)
		assert.Contains(t, out, `the tag "v9.9.9" is not the version of manifest.yaml`)
	})
}

// TestWorkflow_Checks runs the steps of the checks that no other target runs.
func TestWorkflow_Checks(t *testing.T) {
	cosign(t)

	parsed, _ := read(t)

	for id, j := range parsed["checks.yaml"].Jobs {
		for _, s := range j.Steps {
			if blocks[s.Run] != here {
				continue
			}

			t.Run(id+"/"+s.Name, func(t *testing.T) {
				cmd := exec.CommandContext(t.Context(), "bash", "-eo", "pipefail", "-c", s.Run)
				cmd.Dir = root

				out, err := cmd.CombinedOutput()
				require.NoError(t, err, "%s", out)
				t.Logf("%s", out)
			})
		}
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()

	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	require.NoError(t, err)

	return strings.TrimSpace(string(out))
}

// sources returns the files of the project that git knows or would add.
func sources(t *testing.T) []string {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	cmd.Dir = root

	out, err := cmd.Output()
	require.NoError(t, err)

	return strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
}

// copyTree copies them to a folder.
func copyTree(t *testing.T, dir string) {
	t.Helper()

	for _, path := range sources(t) {
		info, err := os.Lstat(filepath.Join(root, path))
		if err != nil || !info.Mode().IsRegular() {
			continue // deleted and not committed, or a link
		}

		data, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), data, info.Mode().Perm()))
	}
}
