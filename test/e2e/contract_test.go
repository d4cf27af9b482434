//go:build linux

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// TestTheGuardRunsAsOnTalos holds the harness to what Talos does with an extension service: a loop
// that closes under easier conditions would prove nothing.
func TestTheGuardRunsAsOnTalos(t *testing.T) {
	l := newLoop(t, fast, nil)
	pid := l.guard.PID()

	_, err := l.guard.WaitState(t.Context(), patience, resources.StateOK)
	require.NoError(t, err)

	for namespace, own := range map[string]bool{"net": false, "ipc": false, "pid": true, "mnt": true, "cgroup": true} {
		guard, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, namespace))
		require.NoError(t, err)

		host, err := os.Readlink("/proc/1/ns/" + namespace)
		require.NoError(t, err)

		assert.Equal(t, own, guard != host, "%s namespace of its own", namespace)
	}

	status := readLines(t, fmt.Sprintf("/proc/%d/status", pid))
	assert.Contains(t, status, "NoNewPrivs:\t1")
	assert.Contains(t, status, "Seccomp:\t2", "the default profile is a filter")

	assert.Equal(t, []string{"-600"}, readLines(t, fmt.Sprintf("/proc/%d/oom_score_adj", pid)))
	assert.Equal(t, []string{"0::" + l.guard.CgroupPath}, readLines(t, fmt.Sprintf("/proc/%d/cgroup", pid)))

	mounts := map[string]string{}

	for _, line := range readLines(t, fmt.Sprintf("/proc/%d/mountinfo", pid)) {
		if fields := strings.Fields(line); len(fields) > 5 {
			mounts[fields[4]] = fields[5]
		}
	}

	for point, mode := range map[string]string{
		"/": "ro", "/sys": "ro", "/host/proc": "ro", "/run/containerd": "ro", "/sys/fs/cgroup": "rw", "/run/spegel-guard": "rw",
		"/system/run/machined": "ro", "/var/lib/containerd/io.containerd.content.v1.content": "ro",
	} {
		assert.Equal(t, mode, strings.Split(mounts[point], ",")[0], point)
	}

	hierarchy := ""

	for _, line := range readLines(t, "/proc/1/mountinfo") {
		if strings.Contains(line, " "+node.CgroupRoot+" ") {
			hierarchy = line
		}
	}

	assert.Contains(t, hierarchy, "nsdelegate")
}

func readLines(t *testing.T, name string) []string {
	t.Helper()

	data, err := os.ReadFile(name)
	require.NoError(t, err)

	return strings.Split(strings.TrimSpace(string(data)), "\n")
}
