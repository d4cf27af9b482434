// SPDX-License-Identifier: MPL-2.0

package release_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/release"
)

const version = "v0.1.0"

// TestBuild_PacksWhatPeopleInstall builds the command for this machine and unpacks it.
func TestBuild_PacksWhatPeopleInstall(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles the command")
	}

	date := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

	documents, err := release.Documents(t.Context(), tree, version, date)
	require.NoError(t, err)

	artifact, err := release.Build(t.Context(), tree, version, release.Platform{OS: "linux", Arch: runtime.GOARCH}, documents)
	require.NoError(t, err)
	assert.Equal(t, "spegelguardctl_v0.1.0_linux_"+runtime.GOARCH+".tar.gz", artifact.Name)
	assert.Contains(t, string(artifact.Bill), "github.com/spf13/cobra")
	assert.NotContains(t, string(artifact.Bill), "go-md2man", "the generator of the manual is not part of the command")

	dir := t.TempDir()
	files := untar(t, artifact.Data, dir)

	for name, text := range map[string]string{
		"LICENSE":                                   "Mozilla Public License",
		"man/man1/spegelguardctl.1":                 `"Dec 2026" "spegel-guard v0.1.0"`,
		"man/man1/spegelguardctl-status.1":          "Show the state of every node",
		"man/man1/spegelguardctl-config-generate.1": "spegelguardctl",
		"completions/bash/spegelguardctl":           "bash completion",
		"completions/zsh/_spegelguardctl":           "#compdef spegelguardctl",
		"completions/fish/spegelguardctl.fish":      "fish completion",
		"completions/powershell/spegelguardctl.ps1": "powershell completion",
	} {
		assert.Contains(t, files[name], text, name)
	}

	out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "spegelguardctl"), "--version").CombinedOutput()
	require.NoError(t, err)
	assert.Equal(t, "spegelguardctl version v0.1.0\n", string(out))

	out, err = exec.CommandContext(t.Context(), "bash", "-n", filepath.Join(dir, "completions/bash/spegelguardctl")).CombinedOutput()
	require.NoError(t, err, "%s", out)

	for name := range files {
		assert.NotContains(t, name, "-man.1", "a hidden command")
	}
}

// untar unpacks an archive, asserts that nothing in it is of the machine that made it, and returns its files.
func untar(t *testing.T, data []byte, dir string) map[string]string {
	t.Helper()

	compressed, err := gzip.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	assert.True(t, compressed.ModTime.IsZero())

	files := map[string]string{}

	for archive := tar.NewReader(compressed); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}

		require.NoError(t, err)
		assert.Equal(t, int64(0), header.ModTime.Unix(), header.Name)
		assert.Zero(t, header.Uid+header.Gid, header.Name)
		assert.Empty(t, header.Uname+header.Gname, header.Name)

		content, err := io.ReadAll(archive)
		require.NoError(t, err)

		files[header.Name] = string(content)
		path := filepath.Join(dir, header.Name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, content, header.FileInfo().Mode()))
	}
}

func artifacts() []release.Artifact {
	var all []release.Artifact

	for i, platform := range release.Platforms {
		artifact := release.Artifact{Platform: platform, Binary: release.Program, Name: release.Program + "_" + platform.OS + "_" + platform.Arch, Data: []byte{byte(i)}}
		if platform.OS == "windows" {
			artifact.Binary += ".exe"
		}

		all = append(all, artifact)
	}

	return all
}

func TestManifests(t *testing.T) {
	manifests, err := release.Manifests("https://github.com/you/spegel-guard", version, artifacts())
	require.NoError(t, err)

	t.Run("krew", func(t *testing.T) {
		var plugin struct {
			APIVersion string `yaml:"apiVersion"`
			Kind       string
			Spec       struct {
				Version   string
				Platforms []struct {
					Selector struct {
						MatchLabels map[string]string `yaml:"matchLabels"`
					}
					URI, SHA256, Bin string
				}
			}
		}

		require.NoError(t, yaml.Load(manifests["spegel-guard.yaml"], &plugin))
		assert.Equal(t, version, plugin.Spec.Version)
		require.Len(t, plugin.Spec.Platforms, len(release.Platforms))

		for i, platform := range plugin.Spec.Platforms {
			want := artifacts()[i]
			assert.Equal(t, map[string]string{"os": want.OS, "arch": want.Arch}, platform.Selector.MatchLabels)
			assert.Equal(t, "https://github.com/you/spegel-guard/releases/download/v0.1.0/"+want.Name, platform.URI)
			assert.Equal(t, want.Sum(), platform.SHA256)
			assert.Equal(t, want.Binary, platform.Bin)
		}
	})

	t.Run("Homebrew", func(t *testing.T) {
		formula := string(manifests["spegelguardctl.rb"])

		for _, artifact := range artifacts() {
			assert.Equal(t, artifact.OS != "windows", strings.Contains(formula, "/"+artifact.Name+`"`), artifact.Name)
			assert.Equal(t, artifact.OS != "windows", strings.Contains(formula, `sha256 "`+artifact.Sum()+`"`), artifact.Name)
		}

		assert.Contains(t, formula, `version "0.1.0"`)
		assert.NotContains(t, formula, "<no value>")
		assert.Equal(t, strings.Count(formula, " do\n")+strings.Count(formula, "def ")+strings.Count(formula, "class "), strings.Count(formula, "end\n"), "blocks")
	})
}

func TestCheckTag(t *testing.T) {
	released := release.Notes{Text: "x", Date: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}

	require.NoError(t, release.CheckTag("v0.1.0", "v0.1.0", released))
	require.ErrorContains(t, release.CheckTag("v0.1.1", "v0.1.0", released), `the tag "v0.1.1" is not the version of manifest.yaml`)
	require.ErrorContains(t, release.CheckTag("v0.1.0", "v0.1.0", release.Notes{Text: "x"}), "unreleased in CHANGELOG.md")
}
