// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/api/auth"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// as returns the context of a call of a client, and its end.
func as(t *testing.T, client string) (context.Context, context.CancelFunc) {
	t.Helper()

	return context.WithCancel(auth.NewContext(t.Context(), auth.Caller{Person: resources.Person{Subject: client}}))
}

// newTestPeers returns peers that connect to nobody: gRPC connects with the first call of a connection.
func newTestPeers(t *testing.T) *peers {
	t.Helper()

	p := newPeers(nil, &identity.Store{}, "1", time.Second)

	t.Cleanup(func() { p.drop(func(*peerConn) bool { return true }) })

	return p
}

func (p *peers) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()

	return len(p.conns)
}

func TestPeers_BoundTheNodesOfOneClient(t *testing.T) {
	p := newTestPeers(t)
	ctx, end := as(t, "greedy")

	for i := range maxPeersPerClient {
		_, err := p.get(ctx, fmt.Sprintf("bogus-%d", i))
		require.NoError(t, err)
	}

	_, err := p.get(ctx, "another")
	assert.Equal(t, codes.ResourceExhausted, status.Code(err), "%v", err)
	assert.ErrorContains(t, err, "to 256 nodes are in progress")

	_, err = p.get(ctx, "bogus-0")
	require.NoError(t, err, "it has requests to that node")

	other, endOther := as(t, "admin")
	_, err = p.get(other, "another")
	require.NoError(t, err)

	end()
	endOther()
	require.Eventually(t, func() bool { return p.size() == 0 }, time.Minute, time.Millisecond, "none of them is established")
	assert.Equal(t, usage{clients: map[string]clientUsage{}}, p.usage)
}

func TestPeers_BoundTheCalls(t *testing.T) {
	p := newTestPeers(t)
	all := 0

	call := func(client string) error {
		ctx, end := as(t, client)
		t.Cleanup(end)

		_, err := p.get(ctx, "node")
		if err == nil {
			all++
		}

		return err
	}

	for range maxCallsPerClient {
		require.NoError(t, call("greedy"))
	}

	assert.ErrorContains(t, call("greedy"), "768 forwarded requests of the client are in progress")

	for i := 0; all < maxCalls; i++ {
		require.NoError(t, call(fmt.Sprintf("client-%d", i/maxCallsPerClient)))
	}

	assert.ErrorContains(t, call("another"), "2048 forwarded requests are in progress")
}

func TestPeers_MakeRoom(t *testing.T) {
	p := newTestPeers(t)

	// The oldest one is established; the others failed since, and one of them has a call.
	p.conns["ready"] = &peerConn{ClientConn: established(t), calls: map[string]int{}}

	for i := range maxPeers - 1 {
		c, err := p.dial(fmt.Sprintf("idle-%d", i), nil)
		require.NoError(t, err)

		c.usedAt = time.Unix(int64(i), 0)
		p.conns[fmt.Sprintf("idle-%d", i)] = c
	}

	busy, end := as(t, "busy")
	defer end()

	_, err := p.get(busy, "idle-0")
	require.NoError(t, err)

	p.conns["idle-0"].usedAt = time.Time{}

	ctx, endOther := as(t, "admin")
	defer endOther()

	_, err = p.get(ctx, "another")
	require.NoError(t, err)
	assert.Len(t, p.conns, maxPeers)
	assert.Contains(t, p.conns, "ready")
	assert.Contains(t, p.conns, "idle-0", "it has a call")
	assert.NotContains(t, p.conns, "idle-1", "the oldest of those that failed")
	assert.Contains(t, p.conns, "idle-2")
	assert.Contains(t, p.conns, "another")
}

// established returns a connection to a server.
func established(t *testing.T) *grpc.ClientConn {
	t.Helper()

	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)

	server := grpc.NewServer()
	t.Cleanup(server.Stop)

	go server.Serve(listener)

	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	conn.Connect()

	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		require.True(t, conn.WaitForStateChange(t.Context(), state))
	}

	return conn
}

func TestPeers_RefuseWithoutRoom(t *testing.T) {
	p := newTestPeers(t)

	for i := range maxPeers {
		ctx, end := as(t, fmt.Sprintf("client-%d", i%10))
		t.Cleanup(end)

		_, err := p.get(ctx, fmt.Sprintf("node-%d", i))
		require.NoError(t, err)
	}

	ctx, end := as(t, "admin")
	defer end()

	_, err := p.get(ctx, "another")
	assert.Equal(t, codes.ResourceExhausted, status.Code(err), "%v", err)
	assert.ErrorContains(t, err, "requests to 1024 nodes are in progress")
}

func TestAnswerWithin(t *testing.T) {
	assert.Equal(t, answerTimeout, answerWithin(t.Context()))

	for left, want := range map[time.Duration]time.Duration{
		time.Hour: answerTimeout, 10 * time.Second: 9 * time.Second, 2 * time.Second: 1500 * time.Millisecond,
	} {
		t.Run(left.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), left)
				defer cancel()

				assert.Equal(t, want, answerWithin(ctx))
			})
		})
	}
}
