// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/contract"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// machine is the node on which the test runs.
type machine struct{}

func (machine) Read(t *testing.T, name string) string {
	t.Helper()

	data, err := os.ReadFile(name)
	require.NoError(t, err)

	return string(data)
}

func (machine) Namespaces(t *testing.T, pid int) map[string]string {
	t.Helper()

	dir := fmt.Sprintf("/proc/%d/ns", pid)

	entries, err := os.ReadDir(dir)
	require.NoError(t, err)

	links := map[string]string{}

	for _, entry := range entries {
		links[entry.Name()], err = os.Readlink(filepath.Join(dir, entry.Name()))
		require.NoError(t, err)
	}

	return links
}

// TestContainer_MatchesTalos: the guard's container is what a real Talos v1.13.0 node makes of it, where test/talos has the same checks.
func TestContainer_MatchesTalos(t *testing.T) {
	l := newLoop(t, fast, nil)
	pid := l.guard.PID()

	_, err := l.guard.WaitState(t.Context(), patience, resources.StateOK)
	require.NoError(t, err)

	spec, err := node.LoadServiceSpec(extension.ServicePath)
	require.NoError(t, err)

	contract.Check(t, machine{}, pid, spec.Container.Mounts)

	info, err := os.Stat(fmt.Sprintf("/proc/%d/root%s", pid, config.Path))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o644), info.Mode(), config.Path)
}
