// SPDX-License-Identifier: MPL-2.0

package limits

import (
	"cmp"
	"slices"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/internal/task"
)

const (
	// sendTimeout is how long a client may leave data unread. gRPC buffers 64 KiB of a stream, so that a client that
	// stops reading is noticed some time later.
	sendTimeout = 10 * time.Second
	// forwardedFactor: the connection of another guard carries the streams of several clients. That guard disconnects
	// its own slow clients, which takes up to sendTimeout.
	forwardedFactor = 3
)

// ErrTooSlow ends a stream of which changes were lost, because more came than are buffered.
var ErrTooSlow = status.Error(codes.ResourceExhausted, "changes were lost because the client reads too slowly")

// receiveTimeout is how long a client may take to send a message. Until then the guard holds the part that has arrived, which
// takes up to sixty times its size when it comes in many frames.
const receiveTimeout = 5 * time.Second

// Patience returns how long a client may leave data unread; configured is that of direct clients, 0 for the default.
func Patience(configured time.Duration, forwarded bool) time.Duration {
	patience := cmp.Or(configured, sendTimeout)
	if forwarded {
		patience *= forwardedFactor
	}

	return patience
}

// Sender is a stream whose connection is closed when the client does not read: what gRPC has buffered for a stream is kept as long
// as the connection, even after the stream has ended.
type Sender struct {
	grpc.ServerStream

	// Patience is how long a message may take.
	Patience time.Duration
	// Cut closes the connection.
	Cut func()
}

// SendMsg implements grpc.ServerStream.
func (s Sender) SendMsg(message any) error {
	timer := time.AfterFunc(s.Patience, func() { task.Do("disconnect a client that does not read", s.Cut) })
	defer timer.Stop()

	return s.ServerStream.SendMsg(message)
}

// Stream is a stream whose request must arrive in time and be one that CheckRequest accepts, and that ends when changes are lost.
type Stream struct {
	grpc.ServerStream

	forwarded bool
	cut       func()
}

// NewStream returns the stream. Cut closes the connection.
func NewStream(stream grpc.ServerStream, forwarded bool, cut func()) *Stream {
	return &Stream{ServerStream: stream, forwarded: forwarded, cut: cut}
}

// RecvMsg implements grpc.ServerStream. It recovers from a panic, because a forwarded request is received in a goroutine of the
// proxy, where no interceptor does.
func (s *Stream) RecvMsg(message any) (err error) {
	defer recovered("receive a request", &err)

	arrived := make(chan error, 1)

	// The handler's return ends the stream, and with it this goroutine.
	go task.Do("receive a request", func() {
		var err error

		defer func() { arrived <- err }()
		defer recovered("decode a request", &err)

		err = s.ServerStream.RecvMsg(message)
	})

	timer := time.NewTimer(receiveTimeout)
	defer timer.Stop()

	select {
	case err := <-arrived:
		if err != nil {
			return err
		}

		return CheckRequest(message)
	case <-timer.C:
		// What has arrived is freed with the connection. That of another guard has the streams of other clients, too.
		if !s.forwarded {
			s.cut()
		}

		return status.Errorf(codes.DeadlineExceeded, "the request did not arrive within %s", receiveTimeout)
	}
}

// SendMsg implements grpc.ServerStream. It recovers from a panic, as RecvMsg does.
func (s *Stream) SendMsg(message any) (err error) {
	defer recovered("send a response", &err)

	// COSI's server would send the loss as an event, and leave a stream open on which nothing follows.
	if response, ok := message.(*v1alpha1.WatchResponse); ok && slices.ContainsFunc(response.GetEvent(), isLoss) {
		return ErrTooSlow
	}

	return s.ServerStream.SendMsg(message)
}

// recovered is deferred: it turns a panic into an error with the code Internal.
func recovered(name string, err *error) {
	if p := recover(); p != nil {
		*err = status.Error(codes.Internal, task.Recovered(name, p).Error())
	}
}

func isLoss(event *v1alpha1.Event) bool { return event.GetEventType() == v1alpha1.EventType_ERRORED }
