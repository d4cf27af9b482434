// SPDX-License-Identifier: MPL-2.0

//go:build linux

package host

import (
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestProcessStarted compares with the clock before and after a process was started. Both the time of boot and what
// is counted from it are cut to whole seconds or less.
func TestProcessStarted(t *testing.T) {
	const cut = 2 * time.Second

	before := time.Now()
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	require.NoError(t, cmd.Start())

	after := time.Now()

	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})

	started, err := processStarted("/proc", cmd.Process.Pid)
	require.NoError(t, err)
	assert.False(t, started.Before(before.Add(-cut)), "%s, before %s", started, before)
	assert.False(t, started.After(after.Add(cut)), "%s, after %s", started, after)

	require.NoError(t, cmd.Process.Kill())
	cmd.Wait()

	started, err = processStarted("/proc", cmd.Process.Pid)
	require.Error(t, err)
	assert.True(t, started.IsZero(), "unknown, not 1970")
}
