// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// TestContainer_MatchesTalos: the guard's container has the namespaces, limits and mounts that an extension service has on a
// real Talos v1.13.0 node.
func TestContainer_MatchesTalos(t *testing.T) {
	l := newLoop(t, fast, nil)
	pid := l.guard.PID()

	_, err := l.guard.WaitState(t.Context(), patience, resources.StateOK)
	require.NoError(t, err)

	for namespace, own := range map[string]bool{"net": false, "cgroup": false, "ipc": true, "mnt": true, "pid": true, "uts": true} {
		guard, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, namespace))
		require.NoError(t, err)

		host, err := os.Readlink("/proc/1/ns/" + namespace)
		require.NoError(t, err)

		assert.Equal(t, own, guard != host, "its own %s namespace", namespace)
	}

	status := readLines(t, fmt.Sprintf("/proc/%d/status", pid))
	assert.Contains(t, status, "NoNewPrivs:\t1")
	assert.Contains(t, status, "Seccomp:\t2", "the default profile is a filter")

	assert.Equal(t, []string{"-600"}, readLines(t, fmt.Sprintf("/proc/%d/oom_score_adj", pid)))
	assert.Equal(t, []string{"0::" + l.guard.CgroupPath}, readLines(t, fmt.Sprintf("/proc/%d/cgroup", pid)))
	assert.Equal(t, []string{"HOME=/\x00"}, readLines(t, fmt.Sprintf("/proc/%d/environ", pid)), "environment")
	assert.Regexp(t, `Max open files +1048576 +1048576 `, strings.Join(readLines(t, fmt.Sprintf("/proc/%d/limits", pid)), "\n"))
	assert.Equal(t, []string{"2"}, readLines(t, "/proc/sys/kernel/yama/ptrace_scope"))

	checkMounts(t, pid)

	info, err := os.Stat(fmt.Sprintf("/proc/%d/root%s", pid, config.Path))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o644), info.Mode(), config.Path)

	hierarchy := ""

	for _, line := range readLines(t, "/proc/1/mountinfo") {
		if strings.Contains(line, " "+node.CgroupRoot+" ") {
			hierarchy = line
		}
	}

	assert.Contains(t, hierarchy, "nsdelegate")
}

// checkMounts compares the mounts of the service with its service file and the mounts that Talos adds.
func checkMounts(t *testing.T, pid int) {
	t.Helper()

	type mount struct{ root, mode, kind string }

	mounts := map[string]mount{}

	// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw (proc_pid_mountinfo(5))
	for _, line := range readLines(t, fmt.Sprintf("/proc/%d/mountinfo", pid)) {
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		mode, _, _ := strings.Cut(fields[5], ",")
		kind, _, _ := strings.Cut(after, " ")
		mounts[fields[4]] = mount{root: fields[3], mode: mode, kind: kind}
	}

	assert.Equal(t, "overlay", mounts["/"].kind)
	assert.Equal(t, "ro", mounts["/"].mode)
	assert.Equal(t, "ro", mounts["/sys"].mode)

	spec, err := node.LoadServiceSpec(extension.ServicePath)
	require.NoError(t, err)
	require.NotEmpty(t, spec.Container.Mounts)

	for _, declared := range spec.Container.Mounts {
		mode := "rw"
		if slices.Contains(declared.Options, "ro") {
			mode = "ro"
		}

		assert.Equal(t, mode, mounts[declared.Destination].mode, declared.Destination)
	}

	// /system is a file system, and the root of the mount is the path in it.
	document := mounts[config.Path]
	assert.Equal(t, "ro", document.mode)
	assert.Equal(t, "/overlays/extensions/spegel-guard/usr-local-etc-spegel-guard-config.yaml", document.root)
}

func readLines(t *testing.T, name string) []string {
	t.Helper()

	data, err := os.ReadFile(name)
	require.NoError(t, err)

	return strings.Split(strings.TrimSpace(string(data)), "\n")
}
