// SPDX-License-Identifier: MPL-2.0

package limits

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/spegel-guard/spegel-guard/internal/bounded"
)

var errTooManyConnections = errors.New("the client has too many connections")

// Conn is one client's connection.
type Conn struct {
	net.Conn

	set  *Connections
	host string
	once sync.Once
	// known is set after the handshake; chain is the client's certificate on TCP.
	known bool
	chain []*x509.Certificate
	// client is the key by which its connections are counted.
	client string
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

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.once.Do(func() {
		c.set.mu.Lock()
		defer c.set.mu.Unlock()

		delete(c.set.open, c)

		if !c.known {
			c.set.countHandshake(c.host, -1)
		}

		if c.client != "" {
			bounded.Count(c.set.clients, c.client, -1)
		}
	})

	return c.Conn.Close()
}
