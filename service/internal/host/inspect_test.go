// SPDX-License-Identifier: MPL-2.0

//go:build linux

package host

import (
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/process"
)

// TestSinceBoot compares with the clock before and after a process was started. Its start is cut to the hundredth of a second.
func TestSinceBoot(t *testing.T) {
	before := boottime.Now()
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	require.NoError(t, cmd.Start())

	after := boottime.Now()

	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})

	start, err := process.Start("/proc", cmd.Process.Pid)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, process.SinceBoot(start), before-10*time.Millisecond)
	assert.LessOrEqual(t, process.SinceBoot(start), after)
}
