// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// atOnce is how many nodes are asked at the same time. Of 10,000 nodes on the loopback that take 250 ms longer to respond, status
	// took 44 s with 64, 29 s with 128, and 21 s with 256 and 512, at a peak RSS of 82, 107, 152 and 228 MiB. With all at the same time
	// handshakes take so long that they fail.
	atOnce = 256
	// turnTime is how long a node can keep others waiting that does not accept a connection: it is waited for until its timeout, but
	// takes no time of this machine. A node with an open connection keeps its turn: when this machine has too much to do, more of them
	// would all be late.
	turnTime = time.Second
	// turn is what a node takes of the semaphore in its turn. After turnTime it takes 1, for its file descriptor and memory: at most
	// turn*atOnce nodes are waited for.
	turn = 8
)

// turns bounds the requests of a fleet.
type turns struct{ *semaphore.Weighted }

func newTurns() turns { return turns{semaphore.NewWeighted(turn * atOnce)} }

// begin waits for the turn of a node; end ends it. The error is that of the context.
func (t turns) begin(ctx context.Context, node *Node) (end func(), err error) {
	if err := t.Acquire(ctx, turn); err != nil {
		return nil, err
	}

	yield := sync.OnceFunc(func() { t.Release(turn - 1) })
	timer := time.AfterFunc(turnTime, func() {
		if node.conn != nil && node.conn.open.Load() == 0 {
			yield()
		}
	})

	return func() {
		timer.Stop()
		yield()
		t.Release(1)
	}, nil
}
