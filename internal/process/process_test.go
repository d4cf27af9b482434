// SPDX-License-Identifier: MPL-2.0

package process

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseStart(t *testing.T) {
	start, err := parseStart([]byte("42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987 20\n"))
	require.NoError(t, err)
	assert.Equal(t, uint64(987), start)

	for _, bad := range []string{"", "42 (a", "42 (a) S 1 2"} {
		_, err := parseStart([]byte(bad))
		assert.ErrorIs(t, err, ErrMalformed, bad)
	}
}

func TestEndingStatus(t *testing.T) {
	for status, want := range map[string]bool{
		"Name:\tspegel\nState:\tS (sleeping)\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n": false,
		"State:\tZ (zombie)\n":        true,
		"State:\tX (dead)\n":          true,
		"ShdPnd:\t0000000000004000\n": true,  // SIGTERM
		"SigPnd:\t0000000000000100\n": true,  // SIGKILL
		"ShdPnd:\t0000000000010000\n": false, // SIGCHLD
		"ShdPnd:\tnonsense\n":         false,
		"":                            false,
	} {
		assert.Equal(t, want, endingStatus([]byte(status)), status)
	}
}

func TestLeadsNamespace(t *testing.T) {
	for _, test := range []struct {
		name, status string
		want         bool
		err          error
	}{
		{"a container's first process", "Name:\tspegel\nNSpid:\t4711\t1\n", true, nil},
		{"another of its processes", "NSpid:\t4712\t7\n", false, nil},
		{"a container in a container", "NSpid:\t4713\t9\t1\n", true, nil},
		{"a container with the node's pids", "NSpid:\t4714\n", false, nil},
		{"the node's first process", "NSpid:\t1\n", false, nil},
		{"without NSpid", "Name:\tspegel\n", false, ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			proc := t.TempDir()
			require.NoError(t, os.MkdirAll(proc+"/42", 0o755))
			require.NoError(t, os.WriteFile(proc+"/42/status", []byte(test.status), 0o600))

			leads, err := LeadsNamespace(proc, 42)
			require.ErrorIs(t, err, test.err)
			assert.Equal(t, test.want, leads)
		})
	}

	t.Run("an ended process", func(t *testing.T) {
		_, err := LeadsNamespace(t.TempDir(), 42)
		require.ErrorIs(t, err, os.ErrNotExist)
	})

	t.Run("this kernel", func(t *testing.T) {
		leads, err := LeadsNamespace("/proc", os.Getpid())
		require.NoError(t, err)
		assert.False(t, leads, "procfs is of the namespace of this process")
	})
}

// TestEnding follows a real process: running, stopped with SIGTERM pending, a zombie, another process's pid.
func TestEnding(t *testing.T) {
	cmd := exec.Command("/bin/sleep", "3600")
	require.NoError(t, cmd.Start())

	pid := cmd.Process.Pid

	start, err := Start("/proc", pid)
	require.NoError(t, err)
	assert.False(t, Ending("/proc", pid, start))
	assert.True(t, Ending("/proc", pid, start+1), "the pid is somebody else's")

	state := func() string {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		require.NoError(t, err)

		return afterCommand(stat)
	}

	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	// SIGTERM would end a process that has not stopped yet.
	require.Eventually(t, func() bool { return strings.HasPrefix(state(), "T") }, time.Minute, time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	assert.True(t, Ending("/proc", pid, start), "SIGTERM is pending")

	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	assert.Eventually(t, func() bool { return endingStatus([]byte("State:\t" + state())) }, time.Minute, 10*time.Millisecond)
	assert.True(t, Ending("/proc", pid, start), "a zombie")

	require.Error(t, cmd.Wait())
	assert.True(t, Ending("/proc", pid, start), "gone")
}

func afterCommand(stat []byte) string {
	_, rest, _ := strings.Cut(string(stat), ") ")

	return rest
}
