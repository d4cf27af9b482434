//go:build linux

package api

import (
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxWatches are the streams that stay open, of all clients together and of one.
	maxWatches          = 1500
	maxWatchesPerClient = 128
	// sendTimeout is how long a client may take nothing of what is sent to it. gRPC holds 64 KiB of a stream
	// for it, so one that stops reading is noticed a while after it did.
	sendTimeout = 10 * time.Second
)

// watches counts the streams that stay open.
type watches struct {
	mu    sync.Mutex
	total int
	of    map[string]int
}

// begin admits a client's stream. It must be given back with end.
func (w *watches) begin(client string) error {
	w.mu.Lock()
	defer w.mu.Unlock()

	switch {
	case w.of[client] >= maxWatchesPerClient:
		return status.Errorf(codes.ResourceExhausted, "the client has %d streams open already, no more are served", maxWatchesPerClient)
	case w.total >= maxWatches:
		return status.Errorf(codes.ResourceExhausted, "%d streams are open already, no more are served", maxWatches)
	}

	if w.of == nil {
		w.of = map[string]int{}
	}

	w.total++
	w.of[client]++

	return nil
}

func (w *watches) end(client string) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.total--
	w.of[client]--

	if w.of[client] == 0 {
		delete(w.of, client)
	}
}

// impatient is a stream whose client is cut off when it does not read. Its connection is closed: what gRPC
// has buffered for a stream stays as long as the connection, even when the stream has ended.
type impatient struct {
	grpc.ServerStream

	timeout time.Duration
	cut     func()
}

// SendMsg implements grpc.ServerStream.
func (s impatient) SendMsg(message any) error {
	timer := time.AfterFunc(s.timeout, s.cut)
	defer timer.Stop()

	return s.ServerStream.SendMsg(message)
}
