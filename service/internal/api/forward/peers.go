// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/siderolabs/grpc-proxy/proxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/internal/unreachable"
	"github.com/spegel-guard/spegel-guard/service/internal/api/auth"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

var errNoForwarding = errors.New("set api.forward, or connect to each node directly; over the unix socket nothing is forwarded")

const (
	// maxResponse bounds a response of another guard, in bytes.
	maxResponse = 4 << 20
	// peerIdle is how long an unused connection is kept.
	peerIdle = 5 * time.Minute
	// bufferSize is small, as for clients.
	bufferSize = 4 << 10
)

// peers are connections to other nodes' guards, made with the current client certificate. When it changes, new calls
// use a new connection; calls in progress end on the old one.
type peers struct {
	// name of this node.
	name  *identity.NodeName
	store *identity.Store
	port  string
	// connectTimeout is for the resolution of the name, TCP, TLS and HTTP/2 together.
	connectTimeout time.Duration

	mu    sync.Mutex
	conns map[string]*peerConn
	usage usage
}

type peerConn struct {
	*grpc.ClientConn

	identity *identity.Identity
	// calls in progress by the key of their client.
	calls  map[string]int
	usedAt time.Time
	stale  bool
}

// idle reports whether the connection has no call in progress.
func (c *peerConn) idle() bool { return len(c.calls) == 0 }

// ready reports whether the connection is established: one that failed, or never was, has another state.
func (c *peerConn) ready() bool { return c.GetState() == connectivity.Ready }

func newPeers(name *identity.NodeName, store *identity.Store, port string, connectTimeout time.Duration) *peers {
	return &peers{name: name, store: store, port: port, connectTimeout: connectTimeout, conns: map[string]*peerConn{}}
}

// available returns why nothing can be forwarded, or nil.
func (p *peers) available() error {
	if p == nil {
		return errNoForwarding
	}

	if id, _ := p.store.Current(); id == nil || id.Client == nil {
		return auth.ErrNoClientCertificate
	}

	return nil
}

// run closes unused connections until the context ends, and then all of them.
func (p *peers) run(ctx context.Context) {
	ticker := time.NewTicker(peerIdle / 2)
	defer ticker.Stop()

	for {
		select {
		case <-ctx.Done():
			p.drop(func(*peerConn) bool { return true })

			return
		case now := <-ticker.C:
			p.drop(func(c *peerConn) bool { return c.idle() && now.Sub(c.usedAt) > peerIdle })
		}
	}
}

// drop removes connections and closes each after its calls have ended.
func (p *peers) drop(which func(*peerConn) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	for target, c := range p.conns {
		if which(c) {
			p.retire(target, c)
		}
	}
}

func (p *peers) retire(target string, c *peerConn) {
	delete(p.conns, target)

	c.stale = true

	if c.idle() {
		c.Close() //nolint:errcheck // unused
	}
}

// makeRoom closes the idle connection that is missed least when there are as many as allowed: one that is not established, or
// the one that was not used for the longest time.
func (p *peers) makeRoom() error {
	if len(p.conns) < maxPeers {
		return nil
	}

	var target string

	for candidate, c := range p.conns {
		if !c.idle() {
			continue
		}

		best, ok := p.conns[target]
		if !ok || best.ready() && !c.ready() || best.ready() == c.ready() && c.usedAt.Before(best.usedAt) {
			target = candidate
		}
	}

	if target == "" {
		return status.Errorf(codes.ResourceExhausted, "requests to %d nodes are in progress, no request to another one is forwarded: try again later", len(p.conns))
	}

	p.retire(target, p.conns[target])

	return nil
}

// get returns the connection to a node for a call of the context's client that ends with the context.
func (p *peers) get(ctx context.Context, target string) (*grpc.ClientConn, error) {
	// A port that the client chooses could belong to any service.
	if target == "" || strings.ContainsAny(target, "/?#[]@ ") || strings.Contains(target, ":") && net.ParseIP(target) == nil {
		return nil, status.Errorf(codes.InvalidArgument, "invalid node %q: must be a node's name or address, without a port", target)
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	id, _ := p.store.Current()
	client := auth.FromContext(ctx).Key()
	c, ok := p.conns[target]

	if ok && c.identity != id {
		p.retire(target, c)

		ok = false
	}

	if err := p.usage.admit(client, !ok || c.calls[client] == 0); err != nil {
		return nil, err
	}

	if !ok {
		err := p.makeRoom()
		if err != nil {
			return nil, err
		}

		if c, err = p.dial(target, id); err != nil {
			return nil, err
		}

		p.conns[target] = c
	}

	p.count(c, client, 1)

	context.AfterFunc(ctx, func() { task.Do("end a call of a guard", func() { p.done(target, c, client) }) })

	return c.ClientConn, nil
}

// explain returns the error of a call in words when the other guard cannot be reached.
func (p *peers) explain(target string, err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}

	var text string

	switch cause := unreachable.Of(s.Message()); cause {
	case nil:
		return err
	case unreachable.ErrUnknownName:
		text = fmt.Sprintf("does not know the name %s: correct it, or use the node's address", target)
	case unreachable.ErrRefused, unreachable.ErrNoAnswer, unreachable.ErrNoGuard, unreachable.ErrConnectionLost:
		text = fmt.Sprintf("cannot reach %s: %s", target, cause.At(net.JoinHostPort(target, p.port)))
	default:
		text = fmt.Sprintf("cannot reach %s: %s", target, s.Message())
	}

	return status.Errorf(s.Code(), unreachable.Through+"%s; it %s", p.name, text)
}

// done ends a call. A connection that is not established is not kept.
func (p *peers) done(target string, c *peerConn, client string) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.count(c, client, -1)

	switch {
	case !c.idle():
	case c.stale:
		c.Close() //nolint:errcheck // unused
	case !c.ready():
		p.retire(target, c)
	}
}

// count adds to the calls of a client on a connection.
func (p *peers) count(c *peerConn, client string, by int) {
	before := c.calls[client]
	c.calls[client] += by
	c.usedAt = time.Now()

	switch {
	case before == 0:
		p.usage.add(client, by, 1)
	case c.calls[client] == 0:
		delete(c.calls, client)
		p.usage.add(client, by, -1)
	default:
		p.usage.add(client, by, 0)
	}
}

func (p *peers) dial(target string, id *identity.Identity) (*peerConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(target, p.port),
		grpc.WithTransportCredentials(auth.TLS(p.store)),
		grpc.WithNoProxy(),
		// The delay is short, because a person waits for the response of a node that comes back.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 15 * time.Second}, MinConnectTimeout: p.connectTimeout,
		}),
		grpc.WithReadBufferSize(bufferSize), grpc.WithWriteBufferSize(bufferSize),
		grpc.WithStreamInterceptor(openLater),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(proxy.Codec()), grpc.MaxCallRecvMsgSize(maxResponse)),
	)
	if err != nil {
		return nil, err
	}

	return &peerConn{ClientConn: conn, identity: id, calls: map[string]int{}}, nil
}
