// SPDX-License-Identifier: MPL-2.0

package limits

import (
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Watches counts open streams. The zero value has none.
type Watches struct {
	mu    sync.Mutex
	total int
	of    map[string]int
}

// Begin admits a client's stream until end is called. The error has the code ResourceExhausted.
func (w *Watches) Begin(client string) (end func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()

	switch {
	case w.of[client] >= MaxWatchesPerClient:
		return nil, status.Errorf(codes.ResourceExhausted, "the client has %d open streams, more are not served: close some", MaxWatchesPerClient)
	case w.total >= maxWatches:
		return nil, status.Errorf(codes.ResourceExhausted, "%d streams are open, more are not served: try again later", maxWatches)
	}

	if w.of == nil {
		w.of = map[string]int{}
	}

	w.total++
	count(w.of, client, 1)

	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()

		w.total--
		count(w.of, client, -1)
	}, nil
}
