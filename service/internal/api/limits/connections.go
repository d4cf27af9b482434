// SPDX-License-Identifier: MPL-2.0

package limits

import (
	"cmp"
	"context"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/bounded"
	"github.com/spegel-guard/spegel-guard/internal/remote"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

const (
	// sweepInterval is the longest time that a connection stays open after its certificate expired.
	sweepInterval = time.Minute
	// refusalsInterval bounds the log: a flood is not logged for each connection.
	refusalsInterval = time.Minute
)

// Connections counts open connections and closes those whose certificate is not valid any more.
type Connections struct {
	logger *zap.Logger

	mu          sync.Mutex
	open        map[*Conn]struct{}
	clients     map[string]int
	handshaking map[string]int
	waiting     int
	refused     int
	loggedAt    time.Time
}

// NewConnections returns a Connections without any.
func NewConnections(logger *zap.Logger) *Connections {
	return &Connections{logger: logger, open: map[*Conn]struct{}{}, clients: map[string]int{}, handshaking: map[string]int{}}
}

// Listener returns a listener whose connections are Conns. It closes those above the limits at once: in the kernel's
// queue a client would wait without an error.
func (s *Connections) Listener(l net.Listener) net.Listener { return listener{Listener: l, set: s} }

type listener struct {
	net.Listener

	set *Connections
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}

		admitted, replaced := l.set.admit(raw)

		if replaced != nil {
			replaced.Close() //nolint:errcheck // nothing is left to do with it
		}

		if admitted != nil {
			return admitted, nil
		}

		raw.Close() //nolint:errcheck // refused
	}
}

// admit returns the connection that is admitted, nil if it is refused, and the one that must be closed for it, if any. A few
// addresses could otherwise hold all handshakes: they connect again at once, and others get in by luck.
func (s *Connections) admit(raw net.Conn) (admitted, replaced *Conn) {
	host := remote.Host(raw.RemoteAddr())

	s.mu.Lock()
	defer s.mu.Unlock()

	if len(s.open) >= MaxConnections || s.handshaking[host] >= maxHandshakingPerHost {
		s.refuse(host)

		return nil, nil
	}

	if s.waiting >= maxHandshaking {
		replaced = s.oldestHandshake()
		s.refuse(replaced.host)
	}

	c := &Conn{Conn: raw, set: s, host: host, accepted: time.Now()}
	s.open[c] = struct{}{}
	s.countHandshake(host, 1)

	return c, replaced
}

// oldestHandshake returns the oldest connection in its handshake of the address that has the most of them.
func (s *Connections) oldestHandshake() *Conn {
	var oldest *Conn

	for c := range s.open {
		if c.known {
			continue
		}

		if oldest == nil || cmp.Or(cmp.Compare(s.handshaking[c.host], s.handshaking[oldest.host]), oldest.accepted.Compare(c.accepted)) > 0 {
			oldest = c
		}
	}

	return oldest
}

func (s *Connections) refuse(host string) {
	s.refused++

	if now := time.Now(); now.Sub(s.loggedAt) >= refusalsInterval {
		s.logger.Warn("connections refused, too many are open", zap.Int("refused", s.refused), zap.Int("open", len(s.open)),
			zap.Int("handshaking", s.waiting), zap.String("from", host))

		s.refused, s.loggedAt = 0, now
	}
}

func (s *Connections) countHandshake(host string, by int) {
	s.waiting += by
	bounded.Count(s.handshaking, host, by)
}

// Sweep closes connections whose certificate has expired, or whose CA is not accepted any more, with all their
// streams, until the context ends.
func (s *Connections) Sweep(ctx context.Context, store *identity.Store) {
	for {
		id, changed := store.Current()

		for _, c := range s.established() {
			if err := id.Check(c.chain, time.Now()); err != nil {
				s.logger.Info("connection closed, its certificate is not valid any more",
					zap.Stringer("from", c.RemoteAddr()), zap.Stringer("subject", c.chain[0].Subject), zap.Error(err))
				c.Close() //nolint:errcheck // nothing is left to do with it
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

func (s *Connections) established() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()

	var found []*Conn

	for c := range s.open {
		if len(c.chain) > 0 {
			found = append(found, c)
		}
	}

	return found
}
