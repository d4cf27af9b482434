// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/siderolabs/grpc-proxy/proxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/service/internal/api/auth"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

var errNoForwarding = errors.New("it is off (set api.forward), or the request came over the unix socket")

const (
	// maxPeers is the number of connections that are kept.
	maxPeers = 1000
	// maxResponse bounds a response of another guard, in bytes.
	maxResponse = 32 << 20
	// peerIdle is how long an unused connection is kept.
	peerIdle = 5 * time.Minute
)

// peers are connections to other nodes' guards, made with the current client certificate. When it changes, new calls
// use a new connection; calls in progress end on the old one.
type peers struct {
	// name of this node.
	name  *identity.NodeName
	store *identity.Store
	port  string

	mu    sync.Mutex
	conns map[string]*peerConn
}

type peerConn struct {
	*grpc.ClientConn

	identity *identity.Identity
	calls    int
	usedAt   time.Time
	stale    bool
}

func newPeers(name *identity.NodeName, store *identity.Store, port string) *peers {
	return &peers{name: name, store: store, port: port, conns: map[string]*peerConn{}}
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
			p.drop(func(c *peerConn) bool { return c.calls == 0 && now.Sub(c.usedAt) > peerIdle })
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

	if c.calls == 0 {
		c.Close() //nolint:errcheck // unused
	}
}

// get returns the connection to a node for a call that ends with the context.
func (p *peers) get(ctx context.Context, target string) (*grpc.ClientConn, error) {
	// A port that the client chooses could belong to any service.
	if target == "" || strings.ContainsAny(target, "/?#[]@ ") || strings.Contains(target, ":") && net.ParseIP(target) == nil {
		return nil, status.Errorf(codes.InvalidArgument, "invalid node %q: must be a node's name or address, without a port", target)
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	id, _ := p.store.Current()
	c, ok := p.conns[target]

	if ok && c.identity != id {
		p.retire(target, c)

		ok = false
	}

	if !ok {
		if len(p.conns) >= maxPeers {
			return nil, status.Errorf(codes.ResourceExhausted, "connections to %d nodes are open, more are not made: try again later", maxPeers)
		}

		var err error

		if c, err = p.dial(target, id); err != nil {
			return nil, err
		}

		p.conns[target] = c
	}

	c.calls++
	c.usedAt = time.Now()

	context.AfterFunc(ctx, func() { task.Do("end a call of a guard", func() { p.done(c) }) })

	return c.ClientConn, nil
}

func (p *peers) done(c *peerConn) {
	p.mu.Lock()
	defer p.mu.Unlock()

	c.calls--
	c.usedAt = time.Now()

	if c.stale && c.calls == 0 {
		c.Close() //nolint:errcheck // unused
	}
}

func (p *peers) dial(target string, id *identity.Identity) (*peerConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(target, p.port),
		grpc.WithTransportCredentials(auth.TLS(p.store)),
		grpc.WithNoProxy(),
		// The delay is short, because a person waits for the response of a node that comes back.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 15 * time.Second}, MinConnectTimeout: 10 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(proxy.Codec()), grpc.MaxCallRecvMsgSize(maxResponse)),
	)
	if err != nil {
		return nil, err
	}

	return &peerConn{ClientConn: conn, identity: id}, nil
}
