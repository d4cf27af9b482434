// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// TestGuard_WatchesDocumentAndTarget: in the container of the service inotify watches the document and the cgroup whose emptiness is the end
// of the target, so that the guard does not read procfs every 2 s.
func TestGuard_WatchesDocumentAndTarget(t *testing.T) {
	l := newLoop(t, fast, nil)

	_, err := l.guard.WaitState(t.Context(), patience, resources.StateOK)
	require.NoError(t, err)

	pid := l.guard.PID()

	requireWatched(t, pid, fmt.Sprintf("/proc/%d/root%s", pid, config.Path))
	requireWatched(t, pid, filepath.Join(node.CgroupRoot, l.spegel.Cgroup, "cgroup.events"))

	require.NoError(t, l.spegel.Remove(t.Context()))

	_, err = l.guard.WaitState(t.Context(), patience, resources.StateNoTarget)
	require.NoError(t, err)
}

// requireWatched waits until a process has an inotify watch on a file (proc_pid_fdinfo(5)).
func requireWatched(t *testing.T, pid int, name string) {
	t.Helper()

	var stat unix.Stat_t

	require.NoError(t, unix.Stat(name, &stat))

	want := fmt.Sprintf(" ino:%x ", stat.Ino)

	require.Eventually(t, func() bool {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
		require.NoError(t, err)

		for _, file := range files {
			// A descriptor may be closed meanwhile.
			info, _ := os.ReadFile(file)
			for line := range strings.Lines(string(info)) {
				if strings.HasPrefix(line, "inotify ") && strings.Contains(line, want) {
					return true
				}
			}
		}

		return false
	}, patience, 100*time.Millisecond, name)
}
