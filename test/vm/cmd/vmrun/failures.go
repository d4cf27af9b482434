// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"io"
	"strings"
)

// failures keeps the failed assertions of a test's output, which are printed once more at the end: the guard's log follows them, and may be
// longer than what a CI shows.
type failures struct {
	watchers []*watcher
}

// The first line of a failed assertion of testify contains begin, and each of its lines starts with indent (with -test.v). A message may have
// a whole log, so only some lines are kept.
const (
	begin    = "Error Trace:"
	indent   = "        \t"
	maxLines = 12
)

// watch returns a writer that copies lines to out and keeps the failed assertions. Each call of Write must have whole lines, and all lines
// must be of one machine.
func (f *failures) watch(out io.Writer) io.Writer {
	w := &watcher{out: out}
	f.watchers = append(f.watchers, w)

	return w
}

type watcher struct {
	out    io.Writer
	blocks []string
	// block has the lines of an assertion that has not ended.
	block []string
}

// Write implements io.Writer.
func (w *watcher) Write(data []byte) (int, error) {
	for line := range strings.Lines(string(data)) {
		w.line(line)
	}

	return w.out.Write(data)
}

func (w *watcher) line(line string) {
	inside := strings.HasPrefix(line, indent)

	if starts := inside && strings.Contains(line, begin); starts || !inside {
		w.end()

		if !starts {
			return
		}
	} else if w.block == nil {
		return
	}

	if len(w.block) < maxLines {
		w.block = append(w.block, line)
	}
}

// end keeps the assertion of the lines before, if there is one.
func (w *watcher) end() {
	if w.block != nil {
		w.blocks = append(w.blocks, strings.Join(w.block, ""))
		w.block = nil
	}
}

// print writes what was kept, if anything was. No writer must be in use any more.
func (f *failures) print(out io.Writer) {
	var blocks []string

	for _, w := range f.watchers {
		w.end() // a guest may end within an assertion

		blocks = append(blocks, w.blocks...)
	}

	if len(blocks) == 0 {
		return
	}

	fmt.Fprintf(out, "\nfailed assertions: %d\n%s\n", len(blocks), strings.Join(blocks, "\n")) //nolint:errcheck // there is no other output
}
