// SPDX-License-Identifier: MPL-2.0

package metrics

import (
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/bounded"
	"github.com/spegel-guard/spegel-guard/internal/remote"
)

// Bounds of the connections. A Prometheus server has one; several may share an address.
const (
	maxConnections        = 64
	maxConnectionsPerHost = 8
	// refusalsInterval bounds the log.
	refusalsInterval = time.Minute
)

// connections counts the open connections of a server. One above the bounds takes the place of an idle one, and is refused if
// there is none: in the kernel's queue a client would wait without an error.
type connections struct {
	logger *zap.Logger

	mu       sync.Mutex
	open     map[*conn]struct{}
	hosts    map[string]int
	refused  int
	loggedAt time.Time
}

// conn is one connection.
type conn struct {
	net.Conn

	set  *connections
	host string
	once sync.Once
	// idle is since when it waits for a request, the first one included; zero during one.
	idle time.Time
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.once.Do(func() { c.set.remove(c) })

	return c.Conn.Close()
}

// boundedListener accepts the connections that are admitted.
type boundedListener struct {
	net.Listener

	set *connections
}

// Accept implements net.Listener.
func (l boundedListener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}

		admitted, idle := l.set.admit(raw)

		if idle != nil {
			idle.Close() //nolint:errcheck // nothing is left to do with it
		}

		if admitted != nil {
			return admitted, nil
		}

		raw.Close() //nolint:errcheck // refused
	}
}

// admit returns the connection that is admitted, nil if it is refused, and the idle one that must be closed for it, if any.
func (s *connections) admit(raw net.Conn) (admitted, idle *conn) {
	c := &conn{Conn: raw, set: s, host: remote.Host(raw.RemoteAddr()), idle: time.Now()}

	s.mu.Lock()
	defer s.mu.Unlock()

	full := s.hosts[c.host] >= maxConnectionsPerHost

	if full || len(s.open) >= maxConnections {
		idle = s.longestIdle(func(other *conn) bool { return !full || other.host == c.host })
		if idle == nil {
			s.refuse(c.host)

			return nil, nil
		}
	}

	if s.open == nil {
		s.open, s.hosts = map[*conn]struct{}{}, map[string]int{}
	}

	s.open[c] = struct{}{}
	bounded.Count(s.hosts, c.host, 1)

	return c, idle
}

// longestIdle returns the connection that has been idle for the longest time; nil if none is.
func (s *connections) longestIdle(of func(*conn) bool) *conn {
	var longest *conn

	for c := range s.open {
		if !c.idle.IsZero() && of(c) && (longest == nil || c.idle.Before(longest.idle)) {
			longest = c
		}
	}

	return longest
}

func (s *connections) refuse(host string) {
	s.refused++

	if now := time.Now(); now.Sub(s.loggedAt) >= refusalsInterval {
		s.logger.Warn("connections to the metrics refused, too many are open", zap.Int("refused", s.refused), zap.Int("open", len(s.open)),
			zap.String("from", host))

		s.refused, s.loggedAt = 0, now
	}
}

func (s *connections) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()

	delete(s.open, c)

	bounded.Count(s.hosts, c.host, -1)
}

// follow is the ConnState of the server.
func (s *connections) follow(served net.Conn, state http.ConnState) {
	if secured, ok := served.(*tls.Conn); ok {
		served = secured.NetConn()
	}

	c, ok := served.(*conn)
	if !ok {
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	switch state { //nolint:exhaustive // the others change nothing
	case http.StateActive:
		c.idle = time.Time{}
	case http.StateIdle:
		c.idle = time.Now()
	}
}
