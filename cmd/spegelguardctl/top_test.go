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

	"github.com/spegel-guard/spegel-guard/test/golden"
)

const (
	// tmuxEnv is set when tmux is installed (make test-cli).
	tmuxEnv = "SPEGEL_GUARD_TMUX"
	// childEnv makes the test binary run the command, with these addresses of nodes.
	childEnv = "SPEGEL_GUARD_CTL_NODES"
	// patience is the deadline of every wait, because no test may depend on the speed of the machine.
	patience = 2 * time.Minute
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

	err := run(a)
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

	if !assert.Eventually(term.t, func() bool {
		screen = term.tmux("capture-pane", "-p")

		for _, text := range texts {
			if !strings.Contains(screen, text) {
				return false
			}
		}

		return true
	}, patience, 100*time.Millisecond) {
		require.FailNow(term.t, fmt.Sprintf("%q", texts), screen)
	}

	return screen
}

// screenshot is what docs show.
const screenshot = "../../docs/top.txt"

func TestTop_InTmux(t *testing.T) {
	c := newCluster(t)
	term := newTerminal(t, c, "top")

	count := fmt.Sprintf("%d nodes: 1 throttled, %d ok", len(c.addresses), len(c.addresses)-1)
	quiet := "talos-prod-1"

	// The culprit is the first one, with its history.
	screen := term.shows(count, ">talos-prod-2", "CPU of talos-prod-2", "┄ threshold 550m", "━ ceiling 500m", "550m┤", "500m┤", "SpegelHighCPU firing", "q quit")
	assert.Regexp(t, "[⠁-⣿]", screen)

	lines := strings.Split(strings.TrimRight(screen, "\n"), "\n")
	assert.Len(t, lines, 30)

	golden.Write(t, screenshot, screen)

	// The rows of the documented screen have no times.
	documented, err := os.ReadFile(screenshot)
	require.NoError(t, err)

	for i, line := range strings.Split(string(documented), "\n")[1 : 2+len(c.addresses)] {
		assert.Equal(t, strings.Fields(line)[:4], strings.Fields(lines[i+1])[:4], "docs/top.txt is stale: run make golden")
	}

	// Traffic and allocation of the culprit and of a quiet node, that of the last row, have a curve, too.
	last := strings.Fields(lines[1+len(c.addresses)])[0]
	require.Contains(t, c.addresses, last)

	for _, shown := range []struct{ keys, of, level string }{
		{"Tab", "TX of talos-prod-2", "1.0 MB/s┤"}, {"Tab", "ALLOC of talos-prod-2", "GB/min┤"}, {"G", "ALLOC of " + last, "GB/min┤"},
		{"h", "TX of " + last, "1.0 MB/s┤"}, {"h", "CPU of " + last, "550m┤"},
	} {
		term.tmux("send-keys", shown.keys)
		assert.Regexp(t, "[⠁-⣿]", term.shows(shown.of, shown.level), shown)
	}

	term.tmux("send-keys", "/", quiet, "Enter")
	term.shows("CPU of "+quiet, "1/1  sort cpu ▼  /"+quiet)

	term.tmux("send-keys", "Escape")
	term.shows(fmt.Sprintf("/%d  sort cpu", len(c.addresses)))

	term.tmux("send-keys", "s", "?")
	term.shows("filter by name or state", "any key closes this help")

	term.tmux("send-keys", "q")
	term.shows("sort tx ▼")

	term.tmux("resize-window", "-x", "60", "-y", "15")

	// A narrow terminal has fewer columns, and fewer keys in the last line.
	require.Eventually(t, func() bool {
		small := term.tmux("capture-pane", "-p")

		return strings.Contains(small, quiet) && strings.Contains(small, "? help  q quit") && !strings.Contains(small, "PAST")
	}, patience, 100*time.Millisecond)

	for line := range strings.Lines(term.tmux("capture-pane", "-p")) {
		assert.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), 60)
	}

	term.tmux("send-keys", "q")
	term.shows("exit code 0")
}

func TestTop_ShowsLostNode(t *testing.T) {
	c := newCluster(t)
	c.addresses["talos-prod-3"] = "127.0.0.1:1"

	term := newTerminal(t, c, "top")
	term.shows("1 throttled, 1 unreachable", "talos-prod-1 ok", "talos-prod-3 unreachable")

	term.tmux("send-keys", "/", "unreach")
	t.Log(term.shows(">talos-prod-3 unreachable", "no response yet"))
}
