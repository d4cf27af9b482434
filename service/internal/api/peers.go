// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

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

	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// Why nothing is forwarded.
var (
	errNoForwarding        = errors.New("it is off (api.forward), or the request came over the unix socket")
	errNoClientCertificate = errors.New("this node has no certificate for it; control plane nodes have")
)

const (
	// maxPeers are the connections that are kept.
	maxPeers = 1000
	// maxResponse is the most that another guard may answer at once.
	maxResponse = 32 << 20
	// peerIdle is when a connection that nobody uses is given up.
	peerIdle = 5 * time.Minute
)

// peers are connections to other nodes' guards. They are made with the client certificate of now, and made
// anew when it changes; calls that go on end on the connection they began on.
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

// available says why nothing can be forwarded, or nil.
func (p *peers) available() error {
	if p == nil {
		return errNoForwarding
	}

	if id, _ := p.store.Current(); id == nil || id.Client == nil {
		return errNoClientCertificate
	}

	return nil
}

// run gives up connections that are not used, until the context ends; then all of them.
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

// drop forgets connections, and closes them once their calls have ended.
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
		c.Close() //nolint:errcheck // nothing is on it
	}
}

// get returns the connection to a node for a call, which ends with the context.
func (p *peers) get(ctx context.Context, target string) (*grpc.ClientConn, error) {
	// A port of the client's choice could be anything's.
	if target == "" || strings.ContainsAny(target, "/?#[]@ ") || strings.Contains(target, ":") && net.ParseIP(target) == nil {
		return nil, status.Errorf(codes.InvalidArgument, "%q is not a node's name or address", target)
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
			return nil, status.Errorf(codes.ResourceExhausted, "there are connections to %d nodes already", maxPeers)
		}

		var err error

		if c, err = p.dial(target, id); err != nil {
			return nil, err
		}

		p.conns[target] = c
	}

	c.calls++
	c.usedAt = time.Now()

	context.AfterFunc(ctx, func() { p.done(c) })

	return c.ClientConn, nil
}

func (p *peers) done(c *peerConn) {
	p.mu.Lock()
	defer p.mu.Unlock()

	c.calls--
	c.usedAt = time.Now()

	if c.stale && c.calls == 0 {
		c.Close() //nolint:errcheck // nothing is on it any more
	}
}

func (p *peers) dial(target string, id *identity.Identity) (*peerConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(target, p.port),
		grpc.WithTransportCredentials(rotating{store: p.store}),
		grpc.WithNoProxy(),
		// Somebody waits for the answer: a node that is back is to be found soon.
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
