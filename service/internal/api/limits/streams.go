// SPDX-License-Identifier: MPL-2.0

package limits

import (
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/internal/bounded"
)

// Streams counts open streams: requests and watches. The zero value has none.
type Streams struct {
	mu    sync.Mutex
	total int
	of    map[string]int
}

// Begin admits a client's stream until end is called. The error has the code ResourceExhausted.
func (s *Streams) Begin(client string) (end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	switch {
	case s.of[client] >= MaxStreamsPerClient:
		return nil, status.Errorf(codes.ResourceExhausted, "the client has %d open streams, more are not served: close some", MaxStreamsPerClient)
	case s.total >= maxStreams:
		return nil, status.Errorf(codes.ResourceExhausted, "%d streams are open, more are not served: try again later", maxStreams)
	}

	if s.of == nil {
		s.of = map[string]int{}
	}

	s.total++
	bounded.Count(s.of, client, 1)

	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()

		s.total--
		bounded.Count(s.of, client, -1)
	}, nil
}
