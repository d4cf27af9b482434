// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/service/fleettest"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

const (
	// fleetEnv is how many guards a fleet has; make bench has 10,000.
	fleetEnv = "SPEGEL_GUARD_FLEET"
	// bareEnv is the talosconfig of the bare calls, in a process of their own.
	bareEnv = "SPEGEL_GUARD_BARE"
)

// spent is what a process took.
type spent struct {
	wall, cpu time.Duration
	memory    int64
}

var peakMemory = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// measure runs a process. Its peak memory is read from /proc, because that of rusage begins with the memory of the parent.
func measure(t *testing.T, cmd *exec.Cmd) spent {
	t.Helper()

	began := time.Now()

	require.NoError(t, cmd.Start())

	ended := make(chan error, 1)

	go func() { ended <- cmd.Wait() }()

	var used spent

	for {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)); err == nil {
			if match := peakMemory.FindSubmatch(text); match != nil {
				peak, err := strconv.ParseInt(string(match[1]), 10, 64)
				require.NoError(t, err)

				used.memory = max(used.memory, peak<<10)
			}
		}

		select {
		case err := <-ended:
			used.wall, used.cpu = time.Since(began), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()

			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				require.NoError(t, err)
			}

			return used
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestBareFanOut is the process of the bare calls.
func TestBareFanOut(t *testing.T) {
	path := os.Getenv(bareEnv)
	if path == "" {
		t.Skip("it is a process of TestStatus_AsksTenThousandGuards")
	}

	current, err := client.ReadContext(path, "")
	require.NoError(t, err)
	config, err := client.TLS(current)
	require.NoError(t, err)

	bare{tls: config, addresses: current.Nodes}.run(t, bareStatus)
}

// fleetOf serves a number of guards and returns their addresses.
func fleetOf(t *testing.T, count int) (*cluster, []string) {
	t.Helper()

	authority, err := pki.New()
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)

	guard, err := fleettest.NewWith(ctx, fleettest.HealthyFigures(0), "127.0.0.1", 0)
	require.NoError(t, err)

	port, err := fleettest.ServeMany(ctx, authority, guard)
	require.NoError(t, err)

	addresses := fleettest.Addresses(count)
	for i, host := range addresses {
		addresses[i] = net.JoinHostPort(host, strconv.Itoa(port))
	}

	return &cluster{pki: authority}, addresses
}

// TestStatus_AsksTenThousandGuards runs the command and the bare calls as processes of their own, in turns. It prints what they take for
// make bench.
func TestStatus_AsksTenThousandGuards(t *testing.T) {
	text := os.Getenv(fleetEnv)
	if text == "" {
		t.Skip(fleetEnv + " is not set (make bench)")
	}

	count, err := strconv.Atoi(text)
	require.NoError(t, err)

	c, addresses := fleetOf(t, count)
	c.talosconfig = c.config(t, addresses, role.Reader)

	program := filepath.Join(t.TempDir(), "spegelguardctl")
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(built))

	const rounds = 3

	var best struct{ bare, command spent }

	for range rounds {
		bare := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBareFanOut$")
		bare.Env = append(os.Environ(), bareEnv+"="+c.talosconfig)

		var stdout, stderr, bareOutput bytes.Buffer

		bare.Stdout = &bareOutput
		bareUsed := measure(t, bare)

		require.True(t, bare.ProcessState.Success(), bareOutput.String())

		command := exec.CommandContext(t.Context(), program, "--talosconfig", c.talosconfig, "status")
		command.Stdout, command.Stderr = &stdout, &stderr
		used := measure(t, command)

		require.Equal(t, 0, command.ProcessState.ExitCode(), "%.2000s", stderr.String())
		assert.Empty(t, stderr.String())

		rows := strings.Split(strings.TrimSpace(stdout.String()), "\n")
		require.Len(t, rows, count+1, "a row per node")
		t.Logf("command %+v, bare %+v", used, bareUsed)

		if best.bare.wall == 0 || bareUsed.wall < best.bare.wall {
			best.bare = bareUsed
		}

		if best.command.wall == 0 || used.wall < best.command.wall {
			best.command.wall, best.command.cpu = used.wall, used.cpu
		}

		best.command.memory = max(best.command.memory, used.memory)
	}

	ratio := best.command.wall.Seconds() / best.bare.wall.Seconds()
	t.Logf("status of %d nodes in a process of its own: %.2f times the bare calls, %d at the same time (%s, %s; best of %d, in turns), "+
		"%s of CPU time (%s), at most %d MiB of memory (%d)",
		count, ratio, bareAtOnce, best.command.wall.Round(time.Millisecond), best.bare.wall.Round(time.Millisecond), rounds,
		best.command.cpu.Round(time.Millisecond), best.bare.cpu.Round(time.Millisecond), best.command.memory>>20, best.bare.memory>>20)
}
