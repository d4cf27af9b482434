// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestCommand_AsksTerminalNothing runs commands on a terminal that never answers, such as a serial console.
func TestCommand_AsksTerminalNothing(t *testing.T) {
	c := newCluster(t)
	c.addresses["talos-prod-3"] = "127.0.0.1:1"

	for _, test := range []struct {
		args, shows string
		code        int
	}{
		{"version", "talos-prod-1", 3},
		{"version --help", "Usage:", 0},
		{"--help", "Usage:", 0},
		{"__complete --context ", ":4", 0},
		{"completion bash", "bash completion", 0},
		{"status", "\x1b[33mtalos-prod-2", 3}, // with the colours of a terminal
		{"status --timeout 0s", "above 0", 1},
		{"top", "q quit", 0},
	} {
		t.Run(test.args, func(t *testing.T) {
			shown, code := runOnTerminal(t, c, test.shows, strings.Split(test.args, " "))
			assert.Contains(t, shown, test.shows)
			assert.Equal(t, test.code, code, "%q", shown)

			// Queries of colours (OSC 4, 10, 11, 12) and of states (DSR, DA, DECRQM).
			assert.NotRegexp(t, `\x1b\](4;\d+|1[012]);\?|\x1b\[[>=?]?\d*[nc]|\x1b\[\??\d+\$p`, shown)
		})
	}
}

// runOnTerminal runs a command on a pseudo terminal, and ends it with q when it shows a text. It returns what was written and the
// exit code.
func runOnTerminal(t *testing.T, c *cluster, until string, args []string) (string, int) {
	t.Helper()

	master, slave := openTerminal(t)

	nodes, err := json.Marshal(c.addresses)
	require.NoError(t, err)

	executable, err := os.Executable()
	require.NoError(t, err)

	cmd := exec.CommandContext(t.Context(), executable, append([]string{"--talosconfig", c.talosconfig}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Env = []string{childEnv + "=" + string(nodes), "TERM=xterm-256color", "HOME=" + t.TempDir()}
	require.NoError(t, cmd.Start())
	require.NoError(t, slave.Close())

	var (
		shown bytes.Buffer
		ended bool
		part  = make([]byte, 4096)
	)

	// Reading fails when the command has ended.
	for err == nil {
		var n int

		n, err = master.Read(part)
		shown.Write(part[:n])

		if !ended && bytes.Contains(shown.Bytes(), []byte(until)) {
			ended = true

			master.WriteString("q")
		}
	}

	cmd.Wait()

	return shown.String(), cmd.ProcessState.ExitCode()
}

// openTerminal opens a pseudo terminal of 30 lines with 100 columns.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()

	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { master.Close() })

	fd := int(master.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}))

	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)

	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)

	return master, slave
}
