// SPDX-License-Identifier: MPL-2.0

package limits_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/service/internal/api/limits"
)

func newConn(t *testing.T) *limits.Conn {
	t.Helper()

	raw, peer := net.Pipe()
	t.Cleanup(func() { peer.Close() })

	go io.Copy(io.Discard, peer) // it ends with the connection

	accepted := make(queue, 1)
	accepted <- raw

	conn, err := limits.NewConnections(zap.NewNop()).Listener(accepted).Accept()
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })

	return conn.(*limits.Conn)
}

func closeAny(conn *limits.Conn) { conn.Close() }

var ever = limits.NewWaiting(time.Hour, false, closeAny)

// TestUnread_ClosesWhatTakesNothing: messages wait for a client that reads slowly, and not for a connection that takes nothing.
func TestUnread_ClosesWhatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			u      limits.Unread
			closed []*limits.Conn
		)

		const room, patience = 16 << 20, 10 * time.Second

		slow, stuck := newConn(t), newConn(t)
		waiting := limits.NewWaiting(patience, false, func(conn *limits.Conn) {
			closed = append(closed, conn)
			closeAny(conn)
		})

		for _, conn := range []*limits.Conn{slow, stuck} {
			_, err := u.Hold(t.Context(), conn, "a", room/2, waiting)
			require.NoError(t, err)
		}

		reading, stop := context.WithCancel(t.Context())
		defer stop()

		go func() {
			for reading.Err() == nil {
				slow.Write(make([]byte, 1<<10))

				select {
				case <-reading.Done():
				case <-time.After(time.Second):
				}
			}
		}()

		began := time.Now()

		_, err := u.Hold(t.Context(), slow, "a", room/2, waiting)
		require.NoError(t, err)
		assert.Equal(t, patience, time.Since(began))
		assert.Equal(t, []*limits.Conn{stuck}, closed)

		// For these nothing makes room, and the client goes on.
		began = time.Now()

		_, err = u.Hold(t.Context(), slow, "a", 1, limits.NewWaiting(patience, true, closeAny))
		require.ErrorIs(t, err, limits.ErrUnread)
		assert.Equal(t, patience, time.Since(began), "an event")

		_, err = u.Hold(t.Context(), slow, "a", 1, waiting)
		require.ErrorIs(t, err, limits.ErrUnread)
		assert.Equal(t, 13*patience, time.Since(began), "an answer")
		assert.Len(t, closed, 1)

		// That of another guard is left to it.
		stop()
		slow.Share()

		_, err = u.Hold(t.Context(), slow, "a", 1, waiting)
		require.ErrorIs(t, err, limits.ErrUnread)
		assert.Len(t, closed, 1)
	})
}

// TestUnread_WaitsForRoom: each client has its own, and gets it back from free and from a connection that is closed.
func TestUnread_WaitsForRoom(t *testing.T) {
	const all = 16 << 20

	var (
		u       limits.Unread
		waiting errgroup.Group
	)

	ctx := t.Context()
	conn, other := newConn(t), newConn(t)

	canceled, cancel := context.WithCancel(ctx)
	cancel()

	free, err := u.Hold(ctx, conn, "a", 2*all, ever)
	require.NoError(t, err, "one that is larger than the room")

	_, err = u.Hold(canceled, conn, "a", 1, ever)
	require.Equal(t, codes.Canceled, status.Code(err), "%v", err)

	_, err = u.Hold(ctx, other, "b", all, ever)
	require.NoError(t, err)

	free()
	free()

	_, err = u.Hold(ctx, conn, "a", all, ever)
	require.NoError(t, err)

	_, err = u.Hold(canceled, conn, "a", 1, ever)
	require.Equal(t, codes.Canceled, status.Code(err), "free counts once")

	for range 3 {
		waiting.Go(func() error {
			// The byte that is asked for below waits at times, and leaves no place for this one meanwhile.
			for {
				if _, err := u.Hold(ctx, conn, "a", all, ever); !errors.Is(err, limits.ErrUnread) {
					return err
				}
			}
		})
	}

	require.Eventually(t, func() bool {
		_, err := u.Hold(canceled, conn, "a", 1, ever)

		return status.Code(err) == codes.ResourceExhausted
	}, time.Minute, time.Millisecond)

	require.NoError(t, conn.Close())
	require.NoError(t, waiting.Wait())

	_, err = u.Hold(ctx, other, "a", all, ever)
	assert.NoError(t, err)
}

// TestUnread_BoundsAnswers: those above the bound wait.
func TestUnread_BoundsAnswers(t *testing.T) {
	var (
		u    limits.Unread
		last func()
	)

	for range 16 {
		done, err := u.Answer(t.Context(), "a")
		require.NoError(t, err)

		last = done
	}

	canceled, cancel := context.WithCancel(t.Context())
	cancel()

	_, err := u.Answer(canceled, "a")
	require.Equal(t, codes.Canceled, status.Code(err), "%v", err)

	_, err = u.Answer(t.Context(), "b")
	require.NoError(t, err)

	last()

	_, err = u.Answer(t.Context(), "a")
	assert.NoError(t, err)
}
