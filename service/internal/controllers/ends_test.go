// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{ends: map[int64]chan struct{}{1: make(chan struct{}), 2: make(chan struct{})}}
		woken := 0
		e := ends{await: m.AwaitEnd, wake: func() { woken++ }}
		ctx, cancel := context.WithCancel(t.Context())
		follow := func(pids ...int64) {
			targets := map[string]resources.TargetSpec{}
			for _, pid := range pids {
				targets[string(rune('a'+pid))] = resources.TargetSpec{PID: pid}
			}

			e.follow(ctx, targets)
			synctest.Wait()
		}

		assert.True(t, e.followed(), "no target")

		follow(1, 2)
		follow(1, 2)
		assert.True(t, e.followed())
		assert.Zero(t, woken)

		close(m.ends[1])
		synctest.Wait()
		assert.Equal(t, 1, woken)
		assert.True(t, e.take())
		assert.False(t, e.take(), "once")
		assert.False(t, e.followed(), "the process may not have been waited for")

		follow(2)
		assert.True(t, e.followed(), "the ended target is gone")

		follow(2, 3)
		assert.False(t, e.followed(), "its end cannot be known")
		assert.False(t, e.take(), "it has not ended")
		assert.Equal(t, 2, woken, "the interval changes")

		follow()
		assert.True(t, e.followed())
		assert.Equal(t, 2, woken, "a target that is gone does not wake")

		cancel()
	})
}

// TestEnds_Panic: the target is looked at if the wait for its end panics.
func TestEnds_Panic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		woken := 0
		e := ends{await: func(context.Context, resources.TargetSpec) error { panic("await") }, wake: func() { woken++ }}

		e.follow(t.Context(), map[string]resources.TargetSpec{targetID: {PID: 1}})
		synctest.Wait()
		assert.False(t, e.followed())
		assert.False(t, e.take())
		assert.Equal(t, 1, woken)
	})
}

func TestTargetController_Interval(t *testing.T) {
	target := map[string]resources.TargetSpec{targetID: {PID: 1}}

	for _, test := range []struct {
		name     string
		known    map[string]resources.TargetSpec
		reported bool
		events   bool
		want     time.Duration
	}{
		{name: "no target, no events", want: discoverInterval},
		{name: "no target, events", events: true, want: confirmInterval},
		{name: "a target, neither", known: target, want: discoverInterval},
		{name: "a target, events only", known: target, events: true, want: discoverInterval},
		{name: "a target, its end only", known: target, reported: true, want: unwatchedInterval},
		{name: "a target, both", known: target, reported: true, events: true, want: confirmInterval},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &machine{ends: map[int64]chan struct{}{}}
				if test.reported {
					m.ends[1] = make(chan struct{})
				}

				c := TargetController{Node: m, Sources: []discover.Source{m}}
				c.ends = &ends{await: m.AwaitEnd, wake: func() {}}
				c.discovery.known = test.known
				c.watch.up.Store(test.events)

				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()

				c.ends.follow(ctx, test.known)
				synctest.Wait()
				assert.Equal(t, test.want, c.interval())
			})
		})
	}
}

// TestTargetController_FollowsEnds: the end of a process is noticed although nobody looks whether it runs.
func TestTargetController_FollowsEnds(t *testing.T) {
	end := make(chan struct{})
	m := &machine{answer: discover.Answer{Containers: []discover.Container{running("c1", 10)}}, ends: map[int64]chan struct{}{10: end}}
	s := newSuite(t, newState(t), &TargetController{Node: m, Sources: []discover.Source{m}, Events: stream{events: make(chan eventPod)}})
	s.configure("target: {podLabels: {app: spegel}}")

	await(s, resources.NewTarget(targetID), func(spec resources.TargetSpec) bool { return spec.ContainerID == "c1" })

	m.set(func() { m.answer.Containers = nil })
	close(end)

	// Before the controller looks without an event.
	require.Eventually(t, func() bool {
		_, err := s.state.Get(t.Context(), resources.NewTarget(targetID).Metadata())

		return state.IsNotFoundError(err)
	}, confirmInterval/2, time.Millisecond)
}
