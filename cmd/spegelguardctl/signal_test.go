// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRun_EndsAtTheSecondSignal, although the command waits for its standard input.
func TestRun_EndsAtTheSecondSignal(t *testing.T) {
	executable, err := os.Executable()
	require.NoError(t, err)

	cmd := exec.CommandContext(t.Context(), executable, "config", "validate", "-")
	cmd.Env = []string{childEnv + "={}", "HOME=" + t.TempDir()}

	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())

	// More than a pipe holds: the command reads it.
	_, err = stdin.Write([]byte(strings.Repeat("#\n", 1<<20)))
	require.NoError(t, err)

	ended := make(chan error, 1)

	go func() { ended <- cmd.Wait() }()

	// Two signals that come together are one.
	require.Eventually(t, func() bool {
		select {
		case <-ended:
			return true
		default:
			cmd.Process.Signal(os.Interrupt)

			return false
		}
	}, time.Minute, 100*time.Millisecond)

	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	assert.Equal(t, syscall.SIGINT, status.Signal())
}
