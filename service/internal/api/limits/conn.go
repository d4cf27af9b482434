// SPDX-License-Identifier: MPL-2.0

package limits

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/bounded"
)

var errTooManyConnections = errors.New("the client has too many connections")

// Conn is one client's connection.
type Conn struct {
	net.Conn

	set      *Connections
	host     string
	accepted time.Time
	once     sync.Once
	// known is set after the handshake; chain is the client's certificate on TCP.
	known bool
	chain []*x509.Certificate
	// client is the key by which its connections are counted.
	client string

	// written is how many bytes were written to the client.
	written atomic.Int64
	// shared is set if the client is another guard.
	shared atomic.Bool

	// kept are the functions that Close calls; nil after Close.
	mu     sync.Mutex
	kept   map[*func()]struct{}
	closed bool
}

// untilClosed returns a function that calls f, unless it was called already. Close calls f, too.
func (c *Conn) untilClosed(f func()) func() {
	key := &f

	c.mu.Lock()

	switch {
	case c.closed:
		c.mu.Unlock()
		f()

		return func() {}
	case c.kept == nil:
		c.kept = map[*func()]struct{}{}
	}

	c.kept[key] = struct{}{}
	c.mu.Unlock()

	return func() {
		c.mu.Lock()
		_, ok := c.kept[key]
		delete(c.kept, key)
		c.mu.Unlock()

		if ok {
			f()
		}
	}
}

// Established ends the handshake of a client. The chain is empty on a unix socket. The error is about a client that
// has too many connections.
func (c *Conn) Established(client string, chain []*x509.Certificate) error {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()

	if _, open := c.set.open[c]; !open || c.known {
		return nil
	}

	if client != "" {
		if c.set.clients[client] >= MaxConnectionsPerClient {
			return fmt.Errorf("%w: %d with the certificate of %s", errTooManyConnections, MaxConnectionsPerClient, chain[0].Subject)
		}

		c.client = client
		bounded.Count(c.set.clients, client, 1)
	}

	c.known, c.chain = true, chain
	c.set.countHandshake(c.host, -1)

	return nil
}

// Share marks a connection with the streams of several clients: that of another guard.
func (c *Conn) Share() { c.shared.Store(true) }

// Write implements net.Conn.
func (c *Conn) Write(data []byte) (int, error) {
	written, err := c.Conn.Write(data)
	c.written.Add(int64(written))

	return written, err
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.once.Do(c.forget)

	return c.Conn.Close()
}

func (c *Conn) forget() {
	c.set.mu.Lock()

	delete(c.set.open, c)

	if !c.known {
		c.set.countHandshake(c.host, -1)
	}

	if c.client != "" {
		bounded.Count(c.set.clients, c.client, -1)
	}

	c.set.mu.Unlock()

	c.mu.Lock()
	kept := c.kept
	c.kept, c.closed = nil, true
	c.mu.Unlock()

	for f := range kept {
		(*f)()
	}
}
