// SPDX-License-Identifier: MPL-2.0

package release_test

import (
	"archive/zip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/gobuild"
)

// TestModule_HasNoReplace: go install NAME@VERSION refuses a module with replace or exclude directives.
func TestModule_HasNoReplace(t *testing.T) {
	mod, err := os.ReadFile(root + "/go.mod")
	require.NoError(t, err)

	for line := range strings.Lines(string(mod)) {
		assert.False(t, strings.HasPrefix(line, "replace") || strings.HasPrefix(line, "exclude"), line)
	}
}

// TestGoInstall installs the command as people do, from a proxy that has this tree as a release.
func TestGoInstall(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles the command")
	}

	const version = "v0.0.999"

	dir := t.TempDir()
	proxy := filepath.Join(dir, "proxy")
	module := filepath.Join(proxy, gobuild.Module, "@v")
	require.NoError(t, os.MkdirAll(module, 0o755))

	mod, err := os.ReadFile(root + "/go.mod")
	require.NoError(t, err)

	for name, data := range map[string]string{
		"list": version + "\n", version + ".info": fmt.Sprintf(`{"Version":%q,"Time":"2026-12-01T00:00:00Z"}`, version), version + ".mod": string(mod),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(module, name), []byte(data), 0o600))
	}

	writeModule(t, filepath.Join(module, version+".zip"), gobuild.Module+"@"+version)

	// The dependencies are those that were downloaded. The cache of its own keeps the release that does not exist out of the user's.
	downloaded := filepath.Join(goEnv(t, "GOMODCACHE"), "cache", "download")
	// With the flags of a release the build cache has the dependencies.
	cmd := exec.CommandContext(t.Context(), "go", "install", "-modcacherw", "-trimpath", "-tags", "grpcnotrace", gobuild.Module+"/cmd/spegelguardctl@"+version)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=file://"+proxy+",file://"+downloaded, "GOMODCACHE="+filepath.Join(dir, "mod"), "GOBIN="+filepath.Join(dir, "bin"),
		"GOSUMDB=off", "GOFLAGS=", "CGO_ENABLED=0")

	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)

	out, err = exec.CommandContext(t.Context(), filepath.Join(dir, "bin", "spegelguardctl"), "--version").CombinedOutput()
	require.NoError(t, err)
	assert.Equal(t, "spegelguardctl version "+version+"\n", string(out))
}

// writeModule writes the archive of the module as a proxy has it: without modules in folders below.
func writeModule(t *testing.T, path, prefix string) {
	t.Helper()

	var nested []string

	all := sources(t)
	for _, name := range all {
		if dir, ok := strings.CutSuffix(name, "/go.mod"); ok {
			nested = append(nested, dir+"/")
		}
	}

	file, err := os.Create(path)
	require.NoError(t, err)

	archive := zip.NewWriter(file)

	for _, name := range all {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || slices.ContainsFunc(nested, func(dir string) bool { return strings.HasPrefix(name, dir) }) {
			continue
		}

		w, err := archive.Create(prefix + "/" + name)
		require.NoError(t, err)

		_, err = w.Write(data)
		require.NoError(t, err)
	}

	require.NoError(t, archive.Close())
	require.NoError(t, file.Close())
}
