//go:build linux

package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCommand_NeedsNoLinux: the command line is for people's own machines, whichever these are, so nothing in it
// may need the node's kernel.
func TestCommand_NeedsNoLinux(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").CombinedOutput()
	require.NoError(t, err, string(out))

	for _, linux := range []string{
		"github.com/containerd/cgroups/v3/cgroup2", "github.com/vishvananda/netlink", "github.com/spegel-guard/spegel-guard/pkg/cgroup",
		"github.com/spegel-guard/spegel-guard/pkg/netns", "github.com/spegel-guard/spegel-guard/service/internal/api",
	} {
		assert.NotContains(t, strings.Fields(string(out)), linux)
	}
}
