// SPDX-License-Identifier: MPL-2.0

package limits

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/internal/bounded"
	"github.com/spegel-guard/spegel-guard/internal/task"
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
	// leastProgress is how many bytes a connection must take, in the time that a client may leave data unread, to stay open while
	// messages wait for the room that it keeps. Answers to pings are less.
	leastProgress = 4 << 10
	// maxPatience is how often an answer waits as long as a client may leave data unread: two minutes.
	maxPatience = 12
)

// ErrUnread ends a request of a client that has too many answers to read.
var ErrUnread = status.Errorf(codes.ResourceExhausted, "the client has not read %d MiB or more of answers", maxUnread>>20)

// Waiting is how long a message waits for room.
type Waiting struct {
	// Patience is how long a connection that keeps messages may take nothing.
	Patience time.Duration
	// Longest is how long the message waits at most.
	Longest time.Duration
	// Disconnect closes a connection.
	Disconnect func(*Conn)
}

// NewWaiting returns the waiting of a message on a stream of events, or of an answer. Nothing is taken meanwhile from the guard that
// sends a forwarded stream, which has patience for three times as long. An answer has arrived, and may wait for many others.
func NewWaiting(patience time.Duration, events bool, disconnect func(*Conn)) Waiting {
	longest := patience
	if !events {
		longest *= maxPatience
	}

	return Waiting{Patience: patience, Longest: longest, Disconnect: disconnect}
}

// Unread bounds what is kept for each client until it reads it. That is more than what its open streams have: gRPC buffers an
// answer of any size, and ends its stream in the guard. The zero value has no client.
type Unread struct {
	mu      sync.Mutex
	clients map[string]*unread
}

// unread is what is kept for one client.
type unread struct {
	// uses are the answers and messages below, without which the client is forgotten; bytes are those of the messages.
	uses, bytes int
	// kept is how many messages each connection keeps.
	kept          map[*Conn]int
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

// Hold waits until there is room for a message of a size in bytes. Call free when the message is not kept any more. A closed connection
// keeps no message. While Hold waits, it closes connections that keep messages and take less than leastProgress in patience. Progress
// is counted in bytes because gRPC writes to many streams in turn: a client may read for long before one message is done.
// It returns ErrUnread if there is no room in time.
func (u *Unread) Hold(ctx context.Context, conn *Conn, client string, size int, waiting Waiting) (free func(), err error) {
	size = min(size, maxUnread) // one that is larger needs all the room

	c, err := u.begin(client, size)
	if err != nil {
		return nil, err
	}

	if !c.room.TryAcquire(int64(size)) {
		until, stop := context.WithTimeout(ctx, waiting.Longest)

		go task.Do("disconnect a client that does not read", func() { u.closeStalled(until, c, waiting) })

		err := c.room.Acquire(until, int64(size))

		stop()

		if err != nil {
			u.end(client, size)

			if ctx.Err() == nil {
				return nil, ErrUnread
			}

			return nil, status.FromContextError(err).Err()
		}
	}

	u.keep(c, conn, 1)

	return conn.untilClosed(func() {
		u.keep(c, conn, -1)
		c.room.Release(int64(size))
		u.end(client, size)
	}), nil
}

// closeStalled closes connections that keep messages and take nothing, until the context ends. A guard closes those of its own clients.
func (u *Unread) closeStalled(ctx context.Context, c *unread, waiting Waiting) {
	ticker := time.NewTicker(waiting.Patience)
	defer ticker.Stop()

	for before := u.written(c); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}

		now := u.written(c)

		for conn, written := range now {
			if earlier, ok := before[conn]; ok && written-earlier < leastProgress && !conn.shared.Load() {
				waiting.Disconnect(conn)
			}
		}

		before = now
	}
}

// written returns how many bytes each connection that keeps messages has taken.
func (u *Unread) written(c *unread) map[*Conn]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()

	written := make(map[*Conn]int64, len(c.kept))

	for conn := range c.kept {
		written[conn] = conn.written.Load()
	}

	return written
}

func (u *Unread) keep(c *unread, conn *Conn, by int) {
	u.mu.Lock()
	defer u.mu.Unlock()

	bounded.Count(c.kept, conn, by)
}

func (u *Unread) begin(client string, size int) (*unread, error) {
	u.mu.Lock()
	defer u.mu.Unlock()

	if u.clients == nil {
		u.clients = map[string]*unread{}
	}

	c, ok := u.clients[client]
	if !ok {
		c = &unread{kept: map[*Conn]int{}, room: semaphore.NewWeighted(maxUnread), answers: semaphore.NewWeighted(maxAnswers)}
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
