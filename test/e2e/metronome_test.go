// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	metronomeEnv  = "SPEGEL_GUARD_METRONOME"
	metronomeTick = 50 * time.Millisecond
)

// metronome is a process that does nothing but tick, so that the delay of its ticks is the machine's.
type metronome struct {
	ask     io.Writer
	answers *bufio.Scanner
}

// startMetronome starts one until the test ends.
func startMetronome(t *testing.T) *metronome {
	t.Helper()

	child := exec.Command(os.Args[0], "-test.run", "^TestMetronome$")
	child.Env = append(os.Environ(), metronomeEnv+"=1")

	in, err := child.StdinPipe()
	require.NoError(t, err)

	out, err := child.StdoutPipe()
	require.NoError(t, err)

	require.NoError(t, child.Start())
	t.Cleanup(func() {
		in.Close()
		child.Wait()
	})

	return &metronome{ask: in, answers: bufio.NewScanner(out)}
}

// late returns the longest delay of a tick since the last call.
func (m *metronome) late(t *testing.T) time.Duration {
	t.Helper()

	_, err := fmt.Fprintln(m.ask)
	require.NoError(t, err)
	require.True(t, m.answers.Scan(), "%v", m.answers.Err())

	late, err := time.ParseDuration(m.answers.Text())
	require.NoError(t, err)

	return late
}

// TestMetronome is the process of startMetronome.
func TestMetronome(t *testing.T) {
	if os.Getenv(metronomeEnv) == "" {
		t.Skip("runs as a child process")
	}

	asked := make(chan struct{})

	go func() {
		defer close(asked)

		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			asked <- struct{}{}
		}
	}()

	var longest time.Duration

	for {
		before := time.Now()

		time.Sleep(metronomeTick)

		longest = max(longest, time.Since(before)-metronomeTick)

		select {
		case _, ok := <-asked:
			if !ok {
				return
			}

			fmt.Println(longest)

			longest = 0
		default:
		}
	}
}
