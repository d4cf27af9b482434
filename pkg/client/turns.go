// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"sync"
	"time"
)

const (
	// atOnce is how many nodes are asked at the same time. Each takes memory for a connection, and time of this machine for its
	// handshake: with all of thousands at the same time handshakes take so long that they fail.
	atOnce = 256
	// turnTime is how long a node can keep others waiting that does not accept a connection: one that is down gives its turn to the
	// next, and is waited for until its timeout. It costs this machine nothing. A node that has accepted one keeps its turn: on a
	// machine with too much to do more of them would all be late.
	turnTime = time.Second
	// inProgress bounds all requests, with those of nodes that gave their turn away: each has a file descriptor.
	inProgress = 1024
)

// turns bounds the requests of a fleet.
type turns struct {
	now, all chan struct{}
}

func newTurns() turns {
	return turns{now: make(chan struct{}, atOnce), all: make(chan struct{}, inProgress)}
}

// begin waits for the turn of a node; end ends it. The error is that of the context.
func (t turns) begin(ctx context.Context, node *Node) (end func(), err error) {
	// Of several cases that are ready select takes any.
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}

	select {
	case t.all <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}

	select {
	case t.now <- struct{}{}:
	case <-ctx.Done():
		<-t.all

		return nil, ctx.Err()
	}

	over := sync.OnceFunc(func() { <-t.now })
	timer := time.AfterFunc(turnTime, func() {
		if node.conn != nil && !node.conn.connected.Load() {
			over()
		}
	})

	return func() {
		timer.Stop()
		over()
		<-t.all
	}, nil
}
