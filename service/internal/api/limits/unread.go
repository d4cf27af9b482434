// SPDX-License-Identifier: MPL-2.0

package limits

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxUnread is how many bytes of messages gRPC keeps for a client that has not read them yet, over all of its connections.
	// The next message waits.
	maxUnread = 16 << 20
	// maxOutstanding is how many bytes it may be with the messages that wait. Only answers of other nodes reach it, because
	// they have arrived when they wait.
	maxOutstanding = 4 * maxUnread
	// maxAnswers is how many answers of this node are computed for a client at once, or wait.
	maxAnswers = 16
)

// ErrUnread ends a request of a client that does not read its answers.
var ErrUnread = status.Errorf(codes.ResourceExhausted, "the client has not read %d MiB of answers", maxOutstanding>>20)

// Unread bounds what is kept for each client until it reads it. That is more than what its open streams have: gRPC buffers an
// answer of any size, and ends its stream in the guard. The zero value has no client.
type Unread struct {
	mu      sync.Mutex
	clients map[string]*unread
}

// unread is what is kept for one client.
type unread struct {
	// uses are the answers and messages below, without which the client is forgotten; bytes are those of the messages.
	uses, bytes   int
	room, answers *semaphore.Weighted
}

// Answer waits until an answer can be computed for the client. Call done when it was sent.
func (u *Unread) Answer(ctx context.Context, client string) (done func(), err error) {
	c, err := u.begin(client, 0)
	if err != nil {
		return nil, err
	}

	if err := c.answers.Acquire(ctx, 1); err != nil {
		u.end(client, 0)

		return nil, status.FromContextError(err).Err()
	}

	return func() {
		c.answers.Release(1)
		u.end(client, 0)
	}, nil
}

// Hold waits until there is room for a message of a size in bytes. Call free when the message is not kept any more. When the
// connection is closed nothing of it is.
func (u *Unread) Hold(ctx context.Context, conn *Conn, client string, size int) (free func(), err error) {
	size = min(size, maxUnread) // one that is larger needs all the room

	c, err := u.begin(client, size)
	if err != nil {
		return nil, err
	}

	if err := c.room.Acquire(ctx, int64(size)); err != nil {
		u.end(client, size)

		return nil, status.FromContextError(err).Err()
	}

	return conn.untilClosed(func() {
		c.room.Release(int64(size))
		u.end(client, size)
	}), nil
}

func (u *Unread) begin(client string, size int) (*unread, error) {
	u.mu.Lock()
	defer u.mu.Unlock()

	if u.clients == nil {
		u.clients = map[string]*unread{}
	}

	c, ok := u.clients[client]
	if !ok {
		c = &unread{room: semaphore.NewWeighted(maxUnread), answers: semaphore.NewWeighted(maxAnswers)}
		u.clients[client] = c
	}

	if c.bytes+size > maxOutstanding {
		return nil, ErrUnread
	}

	c.uses++
	c.bytes += size

	return c, nil
}

func (u *Unread) end(client string, size int) {
	u.mu.Lock()
	defer u.mu.Unlock()

	c := u.clients[client]
	c.uses--
	c.bytes -= size

	if c.uses == 0 {
		delete(u.clients, client)
	}
}
