// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestTargetController_AsksWhenDue(t *testing.T) {
	const asked = time.Hour

	for _, test := range []struct {
		name   string
		asked  time.Duration
		known  bool
		ended  bool
		stream bool
		// followed: the cgroup reports the end of the target. tick: the interval of the controller is over.
		followed, tick bool
		after          time.Duration
		due            bool
	}{
		{name: "never asked", due: true},
		{name: "no target and no stream", asked: asked, after: discoverInterval, due: true},
		{name: "no target and no stream soon after an answer", asked: asked, after: time.Second},
		{name: "no target with a stream", asked: asked, stream: true, after: discoverInterval},
		{name: "target and no stream", asked: asked, known: true, after: discoverInterval},
		{name: "target and no stream for a while", asked: asked, known: true, after: unwatchedInterval, due: true},
		{name: "target with a stream", asked: asked, known: true, stream: true, after: unwatchedInterval},
		{name: "target with a stream for a while", asked: asked, known: true, stream: true, after: confirmInterval, due: true},
		{name: "target that has ended", asked: asked, known: true, ended: true, after: time.Second, due: true},
		{name: "target that has ended, with a stream", asked: asked, known: true, ended: true, stream: true, after: time.Second, due: true},
		{name: "event soon after an answer", asked: asked, known: true, stream: true, followed: true, after: time.Second},
		{name: "tick soon after an answer", asked: asked, known: true, stream: true, followed: true, tick: true, after: time.Second, due: true},
		{name: "tick without a stream", asked: asked, known: true, followed: true, tick: true, after: time.Second, due: true},
		{name: "tick to look at the target", asked: asked, known: true, stream: true, tick: true, after: discoverInterval},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &TargetController{asked: test.asked, ends: &ends{waiting: map[firstProcess]*wait{{pid: 10}: {over: !test.followed}}}}
			c.discovery.node = &machine{ended: map[int64]bool{10: test.ended}}
			c.watch.up.Store(test.stream)

			if test.known {
				c.discovery.known = map[string]resources.TargetSpec{targetID: {ContainerID: "c1", PID: 10}}
			}

			assert.Equal(t, test.due, c.due(test.asked+test.after, test.tick))
		})
	}
}
