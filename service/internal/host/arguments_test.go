// SPDX-License-Identifier: MPL-2.0

//go:build linux

package host

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/process"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestPortIn(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		want      uint16
	}{
		"one word":        {[]string{"spegel", "registry", "--metrics-addr=:9091", ""}, 9091},
		"two words":       {[]string{"spegel", "--metrics-addr", "0.0.0.0:9091"}, 9091},
		"IPv6":            {[]string{"--metrics-addr=[::]:9091"}, 9091},
		"the last counts": {[]string{"--metrics-addr=:1", "--metrics-addr=:2"}, 2},
		"another flag":    {[]string{"--metrics-addresses=:9091"}, 0},
		"no value":        {[]string{"spegel", "--metrics-addr"}, 0},
		"no port":         {[]string{"--metrics-addr=localhost"}, 0},
		"a name":          {[]string{"--metrics-addr=:http"}, 0},
		"too large":       {[]string{"--metrics-addr=:65536"}, 0},
		"zero":            {[]string{"--metrics-addr=:0"}, 0},
		"negative":        {[]string{"--metrics-addr=:-1"}, 0},
		"escapes":         {[]string{"--metrics-addr=:9091\x1b[2J"}, 0},
		"nothing":         {nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			port, err := portIn(test.arguments, "--metrics-addr")
			assert.Equal(t, test.want, port)
			assert.Equal(t, test.want == 0, err != nil, "%v", err)
		})
	}
}

func TestHost_ListenPort(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "read line", "spegel", "--metrics-addr=:9091")
	_, err := cmd.StdinPipe() // the shell waits for a line
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})

	// Start returns while exec(2) still sets the arguments up.
	require.Eventually(t, func() bool {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid))

		return err == nil && len(line) > 0
	}, 2*time.Minute, time.Millisecond)

	start, err := process.Start("/proc", cmd.Process.Pid)
	require.NoError(t, err)

	target := resources.TargetSpec{PID: int64(cmd.Process.Pid), PIDStartTime: start}

	port, err := Host{Proc: "/proc"}.ListenPort(target, "--metrics-addr")
	require.NoError(t, err)
	assert.Equal(t, uint16(9091), port)

	target.PIDStartTime++
	_, err = Host{Proc: "/proc"}.ListenPort(target, "--metrics-addr")
	assert.ErrorContains(t, err, "ended", "the pid belongs to another process")
}

// TestHost_ListenPort_Bounded: a process may have arguments of any length.
func TestHost_ListenPort_Bounded(t *testing.T) {
	proc := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(proc, "7"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(proc, "7", "cmdline"), bytes.Repeat([]byte("x"), maxArguments+1), 0o600))

	_, err := Host{Proc: proc}.ListenPort(resources.TargetSpec{PID: 7}, "--metrics-addr")
	assert.ErrorContains(t, err, "too large")
}
