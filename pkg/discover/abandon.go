// SPDX-License-Identifier: MPL-2.0

package discover

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/spegel-guard/spegel-guard/internal/task"
)

// ErrBusy says that an earlier search of a source has not ended.
var ErrBusy = errors.New("an earlier search has not ended")

// abandoning is a source whose search is abandoned when its context ends or after timeout.
type abandoning struct {
	Source

	busy atomic.Bool
}

// Abandoning returns the source, whose search may block for ever: a file of a container may be on a file system of another
// container, or of a server, that does not answer. There is one search at a time.
func Abandoning(source Source) Source { return &abandoning{Source: source} }

// Find implements Source.
func (a *abandoning) Find(ctx context.Context, selector Selector) (Answer, error) {
	if !a.busy.CompareAndSwap(false, true) {
		return Answer{}, fmt.Errorf("%s: %w: %w", a.Name(), ErrUnreachable, ErrBusy)
	}

	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	type result struct {
		answer Answer
		err    error
	}

	done := make(chan result, 1)

	go task.Do("search for containers", func() {
		r := result{err: ErrUnreachable} // after a panic

		defer func() {
			a.busy.Store(false)

			done <- r
		}()

		r.answer, r.err = a.Source.Find(ctx, selector)
	})

	select {
	case r := <-done:
		return r.answer, r.err
	case <-ctx.Done():
		return Answer{}, fmt.Errorf("%s: %w: %w", a.Name(), ErrUnreachable, ctx.Err())
	}
}
