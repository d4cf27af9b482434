// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

import (
	"slices"
	"sync"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
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
	// forwardedFactor: another guard's connection carries the streams of several clients. It cuts off its own
	// slow ones itself, and is given the time to.
	forwardedFactor = 3
)

// errTooSlow ends a stream of which changes were lost, because more of them came than are kept.
var errTooSlow = status.Error(codes.ResourceExhausted, "changes were lost, because they were read too slowly")

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
	count(w.of, client, 1)

	return nil
}

func (w *watches) end(client string) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.total--
	count(w.of, client, -1)
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
	// COSI's server would tell of it, and leave a stream open on which nothing comes any more.
	if response, ok := message.(*v1alpha1.WatchResponse); ok && slices.ContainsFunc(response.GetEvent(), isLoss) {
		return errTooSlow
	}

	timer := time.AfterFunc(s.timeout, s.cut)
	defer timer.Stop()

	return s.ServerStream.SendMsg(message)
}

func isLoss(event *v1alpha1.Event) bool { return event.GetEventType() == v1alpha1.EventType_ERRORED }
