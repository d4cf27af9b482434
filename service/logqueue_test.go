// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gate is a writer that stands still until it is opened.
type gate struct {
	open  chan struct{}
	lines chan string
}

func (g *gate) Write(line []byte) (int, error) {
	<-g.open
	g.lines <- string(line)

	return len(line), nil
}

// TestLogQueue_NeverWaits: the reader of the log stands still, and goes on later.
func TestLogQueue_NeverWaits(t *testing.T) {
	out := &gate{open: make(chan struct{}), lines: make(chan string, 4*queuedLines)}
	queue := newLogQueue(out)

	for i := range 3 * queuedLines {
		n, err := fmt.Fprintln(queue, i)
		require.NoError(t, err)
		require.Positive(t, n)
	}

	require.NoError(t, queue.Sync(), "the end of the service does not wait for ever")

	close(out.open)
	require.NoError(t, queue.Sync())
	fmt.Fprintln(queue, "last")
	require.NoError(t, queue.Sync())
	close(out.lines)

	kept, dropped, last := 0, 0, ""

	for last = range out.lines {
		var n int

		if _, err := fmt.Sscanf(last, `{"level":"error","msg":"lines of the log were dropped, because nobody read it","lines":%d}`, &n); err == nil {
			dropped += n
		} else {
			kept++
		}
	}

	assert.Equal(t, "last\n", last)
	assert.Equal(t, 3*queuedLines+1, kept+dropped, "each line is written, or counted")
	assert.InDelta(t, queuedLines, kept, 10)
}
