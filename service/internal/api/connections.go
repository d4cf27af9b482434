// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// Bounds of what all clients together may take. They are far above what a fleet's operators need, and low
// enough that the guard stays small whatever comes over the network.
const (
	maxConnections = 256
	// maxConnectionsPerClient share one certificate. What has been sent on a stream and is not taken stays as
	// long as its connection, so this bounds what one client can have the guard hold.
	maxConnectionsPerClient = 16
	// maxHandshaking connections have not shown a certificate yet, so many of them from one address.
	maxHandshaking        = 64
	maxHandshakingPerHost = 16
	// handshakeTimeout is for TLS and the HTTP/2 preface together.
	handshakeTimeout = 5 * time.Second
	// sweepInterval is how soon an open connection is closed whose certificate has expired.
	sweepInterval = time.Minute
	// refusalsInterval: a flood is said once in a while, not for each of its connections.
	refusalsInterval = time.Minute
)

// connections counts those that are open, and ends those whose certificate is not good any more.
type connections struct {
	logger *zap.Logger

	mu          sync.Mutex
	open        map[*connection]struct{}
	clients     map[string]int
	handshaking map[string]int
	waiting     int
	refused     int
	saidAt      time.Time
}

func newConnections(logger *zap.Logger) *connections {
	return &connections{logger: logger, open: map[*connection]struct{}{}, clients: map[string]int{}, handshaking: map[string]int{}}
}

// connection is one client's.
type connection struct {
	net.Conn

	set  *connections
	host string
	once sync.Once
	// known tells that the client has shown who it is; chain is its certificate's, on TCP.
	known bool
	chain []*x509.Certificate
	// client counts its connections.
	client string
}

var errTooManyConnections = errors.New("the client has too many connections already")

// limited is a listener that closes at once what is too much: a client that waits in the kernel's queue
// would not know why.
type limited struct {
	net.Listener

	set *connections
}

// Accept implements net.Listener.
func (l limited) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}

		if c, ok := l.set.admit(raw); ok {
			return c, nil
		}

		raw.Close() //nolint:errcheck // refused
	}
}

func (s *connections) admit(raw net.Conn) (*connection, bool) {
	host, _, err := net.SplitHostPort(raw.RemoteAddr().String())
	if err != nil {
		host = "" // a unix socket
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if len(s.open) >= maxConnections || s.waiting >= maxHandshaking || s.handshaking[host] >= maxHandshakingPerHost {
		s.refused++

		if now := time.Now(); now.Sub(s.saidAt) >= refusalsInterval {
			s.logger.Warn("connections refused, there are too many", zap.Int("refused", s.refused), zap.Int("open", len(s.open)),
				zap.Int("handshaking", s.waiting), zap.String("from", host))

			s.refused, s.saidAt = 0, now
		}

		return nil, false
	}

	c := &connection{Conn: raw, set: s, host: host}
	s.open[c] = struct{}{}
	s.shake(host, 1)

	return c, true
}

func (s *connections) shake(host string, by int) {
	s.waiting += by
	count(s.handshaking, host, by)
}

// count counts by name, and forgets names of which there are none.
func count(counts map[string]int, name string, by int) {
	counts[name] += by

	if counts[name] == 0 {
		delete(counts, name)
	}
}

// established notes that the client has shown who it is. On a unix socket it has no certificate.
func (c *connection) established(chain []*x509.Certificate) error {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()

	if _, open := c.set.open[c]; !open || c.known {
		return nil
	}

	if len(chain) > 0 {
		client := fingerprint(chain[0])
		if c.set.clients[client] >= maxConnectionsPerClient {
			return fmt.Errorf("%w: %d with the certificate of %s", errTooManyConnections, maxConnectionsPerClient, chain[0].Subject)
		}

		c.client = client
		count(c.set.clients, client, 1)
	}

	c.known, c.chain = true, chain
	c.set.shake(c.host, -1)

	return nil
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.once.Do(func() {
		c.set.mu.Lock()
		defer c.set.mu.Unlock()

		delete(c.set.open, c)

		if !c.known {
			c.set.shake(c.host, -1)
		}

		if c.client != "" {
			count(c.set.clients, c.client, -1)
		}
	})

	return c.Conn.Close()
}

// sweep closes connections whose certificate has expired, or whose authority is not accepted any more,
// with all their streams. It ends with the context.
func (s *connections) sweep(ctx context.Context, store *identity.Store) {
	for {
		id, changed := store.Current()

		for _, c := range s.established() {
			if err := id.Check(c.chain, time.Now()); err != nil {
				s.logger.Info("connection closed", zap.Stringer("from", c.RemoteAddr()), zap.Stringer("subject", c.chain[0].Subject), zap.Error(err))
				c.Close() //nolint:errcheck // it is over
			}
		}

		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(sweepInterval):
		}
	}
}

func (s *connections) established() []*connection {
	s.mu.Lock()
	defer s.mu.Unlock()

	var found []*connection

	for c := range s.open {
		if len(c.chain) > 0 {
			found = append(found, c)
		}
	}

	return found
}
