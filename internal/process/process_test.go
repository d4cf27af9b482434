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

// TestEnding follows a real process: running, stopped with SIGTERM pending, a zombie, another process's pid.
func TestEnding(t *testing.T) {
	cmd := exec.Command("/bin/sleep", "3600")
	require.NoError(t, cmd.Start())

	pid := cmd.Process.Pid

	start, err := Start("/proc", pid)
	require.NoError(t, err)
	assert.False(t, Ending("/proc", pid, start))
	assert.True(t, Ending("/proc", pid, start+1), "the pid is somebody else's")

	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	assert.True(t, Ending("/proc", pid, start), "SIGTERM is pending")

	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	assert.Eventually(t, func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")

		return err == nil && endingStatus([]byte("State:\t"+afterCommand(stat)))
	}, time.Minute, 10*time.Millisecond)
	assert.True(t, Ending("/proc", pid, start), "a zombie")

	require.Error(t, cmd.Wait())
	assert.True(t, Ending("/proc", pid, start), "gone")
}

func afterCommand(stat []byte) string {
	_, rest, _ := strings.Cut(string(stat), ") ")

	return rest
}
