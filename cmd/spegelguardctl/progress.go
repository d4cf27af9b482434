// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/dustin/go-humanize"

	"github.com/spegel-guard/spegel-guard/pkg/client"
)

const (
	// progressAfter is how long a command runs without a progress line: most end before it.
	progressAfter = time.Second
	// progressPace is the time between two lines.
	progressPace = 200 * time.Millisecond
	// clearLine moves the cursor to the start of the line and erases it.
	clearLine = "\r\x1b[K"
)

// progress shows on a terminal how many nodes have responded.
type progress struct {
	w            io.Writer
	of           int
	done, failed atomic.Int64
	stop         chan struct{}
	stopped      sync.WaitGroup

	// writing is held by whoever writes to the terminal.
	writing sync.Mutex
	shown   bool
}

// progress shows the progress of a request to a number of nodes until end, if stderr is a terminal.
func (a *app) progress(of int) *progress {
	if file, ok := a.stderr.(*os.File); ok && term.IsTerminal(file.Fd()) {
		return newProgress(file, of)
	}

	return &progress{of: of, stop: make(chan struct{})}
}

func newProgress(w io.Writer, of int) *progress {
	p := &progress{w: w, of: of, stop: make(chan struct{})}

	p.stopped.Go(func() {
		for next := time.After(progressAfter); ; next = time.After(progressPace) {
			select {
			case <-next:
				p.draw()
			case <-p.stop:
				return
			}
		}
	})

	return p
}

func (p *progress) draw() {
	p.writing.Lock()
	defer p.writing.Unlock()

	line := fmt.Sprintf("%s of %s nodes", humanize.Comma(p.done.Load()), humanize.Comma(int64(p.of)))
	if failed := p.failed.Load(); failed > 0 {
		line += fmt.Sprintf(", %s failed", humanize.Comma(failed))
	}

	p.shown = true

	fmt.Fprint(p.w, clearLine+line) //nolint:errcheck // there is no other place to report it
}

// over clears the line and writes other output, before the line is shown again.
func (p *progress) over(write func() error) error {
	p.writing.Lock()
	defer p.writing.Unlock()

	if p.shown {
		p.shown = false

		fmt.Fprint(p.w, clearLine) //nolint:errcheck // there is no other place to report it
	}

	return write()
}

// end clears the line and shows none again.
func (p *progress) end() {
	close(p.stop)
	p.stopped.Wait()
	p.over(func() error { return nil }) //nolint:errcheck // it writes nothing
}

// counted counts the responses to a request.
func counted[T any](p *progress, request func(*client.Node, context.Context) (T, error)) func(*client.Node, context.Context) (T, error) {
	return func(node *client.Node, ctx context.Context) (T, error) {
		value, err := request(node, ctx)
		p.done.Add(1)

		if err != nil {
			p.failed.Add(1)
		}

		return value, err
	}
}

// gather is client.Gather with the progress on a terminal.
func gather[T any](ctx context.Context, a *app, fleet *client.Fleet, request func(*client.Node, context.Context) (T, error)) []client.Result[T] {
	p := a.progress(len(fleet.Nodes()))
	defer p.end()

	return client.Gather(ctx, fleet, counted(p, request))
}
