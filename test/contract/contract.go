// SPDX-License-Identifier: MPL-2.0

// Package contract checks that a container of the guard is what Talos v1.13.0 makes of an extension service. The same checks run on a
// real Talos node and on the emulated one of test/node.
package contract

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// Cgroup of the guard on a node.
const Cgroup = "/system/extensions/spegel-guard"

// Node reads the files of a node.
type Node interface {
	// Read returns the content of a file.
	Read(t *testing.T, name string) string
	// Namespaces returns the links in /proc/PID/ns by name.
	Namespaces(t *testing.T, pid int) map[string]string
}

// Check asserts what the guard's process has on a node, whose service file has mounts and whose machine configuration has a document.
func Check(t *testing.T, n Node, pid int, mounts []specs.Mount) {
	t.Helper()

	own, host := n.Namespaces(t, pid), n.Namespaces(t, 1)

	for name, differs := range map[string]bool{"net": false, "cgroup": false, "ipc": true, "mnt": true, "pid": true, "uts": true} {
		require.NotEmpty(t, own[name])
		require.NotEmpty(t, host[name])
		assert.Equal(t, differs, own[name] != host[name], "its own %s namespace", name)
	}

	process := func(name string) []string { return lines(n.Read(t, fmt.Sprintf("/proc/%d/%s", pid, name))) }

	status := process("status")
	assert.Contains(t, status, "NoNewPrivs:\t1")
	assert.Contains(t, status, "Seccomp:\t2", "the default profile is a filter")

	assert.Equal(t, []string{"-600"}, process("oom_score_adj"))
	assert.Equal(t, []string{"0::" + Cgroup}, process("cgroup"))
	assert.Equal(t, []string{"HOME=/\x00"}, process("environ"))
	assert.Regexp(t, `Max open files +1048576 +1048576 `, strings.Join(process("limits"), "\n"))
	assert.Equal(t, []string{"2"}, lines(n.Read(t, "/proc/sys/kernel/yama/ptrace_scope")))

	checkMounts(t, mountsOf(process("mountinfo")), mounts)

	hierarchy, found := mountsOf(lines(n.Read(t, "/proc/1/mountinfo")))["/sys/fs/cgroup"]
	require.True(t, found)
	assert.Contains(t, hierarchy.super, "nsdelegate")
}

// mount is a mount of a process: its root in the file system, ro or rw, the type of the file system, and its options.
type mount struct{ root, mode, kind, super string }

// mountsOf parses mountinfo (proc_pid_mountinfo(5)) by mount point. The newest mount at a point is the visible one.
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
func mountsOf(mountinfo []string) map[string]mount {
	mounts := map[string]mount{}

	for _, line := range mountinfo {
		before, after, _ := strings.Cut(line, " - ")
		fields, source := strings.Fields(before), strings.Fields(after)
		mode, _, _ := strings.Cut(fields[5], ",")
		mounts[fields[4]] = mount{root: fields[3], mode: mode, kind: source[0], super: source[len(source)-1]}
	}

	return mounts
}

// checkMounts compares the mounts of the service with those of its service file and those that Talos adds.
func checkMounts(t *testing.T, mounts map[string]mount, declared []specs.Mount) {
	t.Helper()

	assert.Equal(t, "overlay", mounts["/"].kind)
	assert.Equal(t, "ro", mounts["/"].mode)
	assert.Equal(t, "ro", mounts["/sys"].mode)

	require.NotEmpty(t, declared)

	for _, d := range declared {
		mode := "rw"
		if slices.Contains(d.Options, "ro") {
			mode = "ro"
		}

		assert.Equal(t, mode, mounts[d.Destination].mode, d.Destination)
	}

	// /system is a file system, and the root of the mount is the path in it.
	document := mounts[config.Path]
	assert.Equal(t, "ro", document.mode)
	assert.Equal(t, "/overlays/extensions/spegel-guard/usr-local-etc-spegel-guard-config.yaml", document.root)
}

func lines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }
