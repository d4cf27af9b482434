// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/task"
)

const (
	// queuedLines is how many lines of the log wait for their reader.
	queuedLines = 1024
	// flushTimeout is how long the end of the service waits for the reader.
	flushTimeout = time.Second
)

// logQueue is a zapcore.WriteSyncer that never waits: a reader of the log that stands still must not stop the enforcer. What does
// not fit the queue is dropped and counted.
type logQueue struct {
	lines   chan []byte
	flushes chan chan struct{}
	dropped atomic.Int64
}

// newLogQueue returns a queue in front of a writer.
func newLogQueue(w io.Writer) *logQueue {
	q := &logQueue{lines: make(chan []byte, queuedLines), flushes: make(chan chan struct{})}

	go task.Do("write the log", func() { q.run(w) })

	return q
}

func (q *logQueue) run(w io.Writer) {
	for {
		select {
		case line := <-q.lines:
			q.write(w, line)
		case flushed := <-q.flushes:
			for len(q.lines) > 0 {
				q.write(w, <-q.lines)
			}

			close(flushed)
		}
	}
}

func (q *logQueue) write(w io.Writer, line []byte) {
	if n := q.dropped.Swap(0); n > 0 {
		fmt.Fprintf(w, `{"level":"error","msg":"lines of the log were dropped, because nobody read it","lines":%d}`+"\n", n) //nolint:errcheck // as below
	}

	w.Write(line) //nolint:errcheck // there is no other place to report it
}

// Write implements io.Writer.
func (q *logQueue) Write(line []byte) (int, error) {
	select {
	case q.lines <- append([]byte(nil), line...): // zap uses its buffer again
	default:
		q.dropped.Add(1)
	}

	return len(line), nil
}

// Sync implements zapcore.WriteSyncer: it waits until what is queued was written, for flushTimeout at most.
func (q *logQueue) Sync() error {
	flushed, timeout := make(chan struct{}), time.After(flushTimeout)

	select {
	case q.flushes <- flushed:
	case <-timeout:
		return nil
	}

	select {
	case <-flushed:
	case <-timeout:
	}

	return nil
}
