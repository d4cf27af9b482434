// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCommand_NeedsNoLinux: the command runs on any laptop, so that it must import neither the kernel's interfaces nor the
// service.
func TestCommand_NeedsNoLinux(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").CombinedOutput()
	require.NoError(t, err, string(out))

	const module = "github.com/spegel-guard/spegel-guard/"

	deps := strings.Fields(string(out))

	for _, linux := range []string{"github.com/containerd/cgroups/v3/cgroup2", "github.com/vishvananda/netlink", module + "pkg/cgroup", module + "pkg/netns"} {
		assert.NotContains(t, deps, linux)
	}

	assert.False(t, slices.ContainsFunc(deps, func(dep string) bool { return strings.HasPrefix(dep, module+"service") }), "the service")
}
