// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"sync"

	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// ends waits for the ends of the known targets, so that nobody has to look whether they run.
type ends struct {
	// await is TargetNode.AwaitEnd.
	await func(context.Context, resources.TargetSpec) error
	// wake is called when a target has ended, or its end cannot be known.
	wake func()

	mu      sync.Mutex
	waiting map[firstProcess]*wait
	// ended reports that a target has ended since the last take.
	ended bool
}

// firstProcess identifies the first process of a target.
type firstProcess struct {
	pid   int64
	start uint64
}

// wait is the wait for one target.
type wait struct {
	cancel context.CancelFunc
	// over reports that the process has ended, or that its end cannot be known.
	over bool
}

// follow waits for the ends of these targets and of no others.
func (e *ends) follow(ctx context.Context, targets map[string]resources.TargetSpec) {
	e.mu.Lock()
	defer e.mu.Unlock()

	before := e.waiting
	e.waiting = make(map[firstProcess]*wait, len(targets))

	for _, target := range targets {
		id := firstProcess{pid: target.PID, start: target.PIDStartTime}

		if known, ok := before[id]; ok {
			e.waiting[id] = known
		} else if e.waiting[id] == nil {
			e.waiting[id] = e.start(ctx, target)
		}
	}

	for id, known := range before {
		if e.waiting[id] == nil {
			known.cancel()
		}
	}
}

func (e *ends) start(ctx context.Context, target resources.TargetSpec) *wait {
	ctx, cancel := context.WithCancel(ctx)
	started := &wait{cancel: cancel}

	go task.Do("await the end of a target", func() {
		defer cancel()

		err := task.Step("await the end of a target", func() error { return e.await(ctx, target) })
		if ctx.Err() != nil {
			return
		}

		e.mu.Lock()
		started.over, e.ended = true, e.ended || err == nil
		e.mu.Unlock()

		e.wake()
	})

	return started
}

// take forgets the ends and reports whether there was one.
func (e *ends) take() bool {
	e.mu.Lock()
	defer e.mu.Unlock()

	ended := e.ended
	e.ended = false

	return ended
}

// followed reports whether the end of every known target will be noticed. An ended target is looked at until it is gone: its process
// may not have been waited for.
func (e *ends) followed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()

	for _, known := range e.waiting {
		if known.over {
			return false
		}
	}

	return true
}
