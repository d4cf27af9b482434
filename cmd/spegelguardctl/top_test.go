// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	// tmuxEnv is set when tmux is installed (make test-cli).
	tmuxEnv = "SPEGEL_GUARD_TMUX"
	// childEnv makes the test binary run the command, with these addresses of nodes.
	childEnv = "SPEGEL_GUARD_CTL_NODES"
)

func TestMain(m *testing.M) {
	nodes := os.Getenv(childEnv)
	if nodes == "" {
		os.Exit(m.Run())
	}

	c := &cluster{}
	if err := json.Unmarshal([]byte(nodes), &c.addresses); err != nil {
		panic(err)
	}

	a := newApp()
	a.open = c.open

	err := a.root().ExecuteContext(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "spegelguardctl:", err)
	}

	os.Exit(exitCode(err))
}

// terminal is a tmux server of its own, with one window that runs the command.
type terminal struct {
	t      *testing.T
	socket string
}

func newTerminal(t *testing.T, c *cluster, args ...string) *terminal {
	t.Helper()

	if os.Getenv(tmuxEnv) == "" {
		t.Skip("needs tmux: run make test-cli")
	}

	// The path of a unix socket is short.
	dir, err := os.MkdirTemp("", "tmux")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })

	term := &terminal{t: t, socket: filepath.Join(dir, "s")}

	nodes, err := json.Marshal(c.addresses)
	require.NoError(t, err)

	executable, err := os.Executable()
	require.NoError(t, err)

	term.tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "-e", childEnv+"="+string(nodes), "-e", "TERM=xterm-256color", "-e", "LC_ALL=C.UTF-8",
		// tmux 3.3 loses the status of some programs that end.
		executable+" --talosconfig "+c.talosconfig+" "+strings.Join(args, " ")+"; echo exit code $?; exec sleep 600")
	t.Cleanup(func() { term.try("kill-server") })

	return term
}

func (term *terminal) try(args ...string) (string, error) {
	out, err := exec.CommandContext(context.Background(), "tmux", append([]string{"-u", "-S", term.socket}, args...)...).CombinedOutput()

	return string(out), err
}

func (term *terminal) tmux(args ...string) string {
	term.t.Helper()

	out, err := term.try(args...)
	require.NoError(term.t, err, out)

	return out
}

// shows waits until the screen has all texts, and returns it.
func (term *terminal) shows(texts ...string) string {
	term.t.Helper()

	screen := ""

	require.Eventually(term.t, func() bool {
		screen = term.tmux("capture-pane", "-p")

		for _, text := range texts {
			if !strings.Contains(screen, text) {
				return false
			}
		}

		return true
	}, time.Minute, 100*time.Millisecond, "%q\n%s", texts, &screen)

	return screen
}

// screenshot is what docs show.
const screenshot = "../../docs/top.txt"

func TestTop_InTmux(t *testing.T) {
	c := newCluster(t)
	term := newTerminal(t, c, "top")

	term.shows("3 nodes: 2 ok, 1 throttled, 0 unreachable", "CPU of talos-prod-1", "threshold 550m")

	term.tmux("send-keys", "Down")

	// The history and the status of every node are there.
	screen := term.shows("CPU of talos-prod-2", "threshold 550m", "━ ceiling 500m", "talos-prod-3    ok", "SpegelHighCPU firing", "q quit", "⣀")
	lines := strings.Split(strings.TrimRight(screen, "\n"), "\n")
	assert.Len(t, lines, 30)

	if *update {
		require.NoError(t, os.WriteFile(screenshot, []byte(screen), 0o644))
	}

	// The first lines of the documented screen have no times.
	documented, err := os.ReadFile(screenshot)
	require.NoError(t, err)

	for i, line := range strings.Split(string(documented), "\n")[1:5] {
		assert.Equal(t, strings.Fields(line)[:4], strings.Fields(lines[i+1])[:4], "docs/top.txt is stale: run make golden")
	}

	term.tmux("send-keys", "Tab")
	term.shows("TX of talos-prod-2", "threshold 1.0 MB/s")

	term.tmux("resize-window", "-x", "60", "-y", "15")
	small := term.shows("TX of talos-prod-2", "q quit")

	require.Eventually(t, func() bool {
		small = term.tmux("capture-pane", "-p")

		return strings.Contains(small, "talos-prod-3") && strings.Contains(small, "q quit") && !strings.Contains(small, "ALLOC")
	}, time.Minute, 100*time.Millisecond, "%s", &small)

	for _, line := range strings.Split(small, "\n") {
		assert.LessOrEqual(t, len([]rune(line)), 60)
	}

	term.tmux("send-keys", "q")
	term.shows("exit code 0")
}

func TestTop_ShowsLostNode(t *testing.T) {
	c := newCluster(t)
	c.addresses["talos-prod-3"] = "127.0.0.1:1"

	term := newTerminal(t, c, "top")
	term.shows("1 ok, 1 throttled, 1 unreachable")
	t.Log(term.shows("talos-prod-3    unreachable", "talos-prod-1    ok"))
}
