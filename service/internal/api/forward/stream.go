// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"context"
	"io"
	"sync"

	"github.com/siderolabs/grpc-proxy/proxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/spegel-guard/spegel-guard/internal/task"
)

// openingStream is a stream to a peer that is opened in a goroutine: the proxy opens the streams of a request one after the
// other, and each would wait for the connections of those before it. What is sent meanwhile is kept.
type openingStream struct {
	ctx context.Context //nolint:containedctx // grpc.ClientStream returns its context from a method
	// opened is closed when stream or err is set.
	opened chan struct{}
	stream grpc.ClientStream
	err    error

	mu sync.Mutex
	// kept are the frames that were sent before the stream is open, and closed tells that no other follows.
	kept   [][]byte
	closed bool
}

// openLater implements grpc.StreamClientInterceptor.
func openLater(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	s := &openingStream{ctx: ctx, opened: make(chan struct{})}

	go task.Do("open a stream to a guard", func() {
		defer close(s.opened)

		var stream grpc.ClientStream

		err := task.Step("open a stream to a guard", func() (err error) {
			stream, err = open(ctx, desc, conn, method, opts...)

			return err
		})

		s.begin(stream, err)
	})

	return s, nil
}

// begin sends what was kept.
func (s *openingStream) begin(stream grpc.ClientStream, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.stream, s.err = stream, err; err != nil {
		return
	}

	for _, frame := range s.kept {
		if err := stream.SendMsg(proxy.NewFrame(frame)); err != nil {
			break // RecvMsg returns the reason
		}
	}

	if s.closed {
		stream.CloseSend() //nolint:errcheck // RecvMsg returns the reason
	}

	s.kept = nil
}

// wait returns the stream when it is open.
func (s *openingStream) wait() (grpc.ClientStream, error) {
	<-s.opened

	return s.stream, s.err
}

// current returns the stream; nil while it is opened, when keep is called.
func (s *openingStream) current(keep func() error) (grpc.ClientStream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	switch {
	case s.err != nil:
		return nil, io.EOF // RecvMsg returns the reason
	case s.stream == nil:
		return nil, keep()
	default:
		return s.stream, nil
	}
}

// SendMsg implements grpc.ClientStream. The bounds of a request bound what is kept.
func (s *openingStream) SendMsg(message any) error {
	stream, err := s.current(func() error {
		// The proxy uses its frame again.
		data, err := proxy.Codec().Marshal(message)
		if err == nil {
			s.kept = append(s.kept, data.Materialize())
			data.Free()
		}

		return err
	})
	if stream == nil {
		return err
	}

	return stream.SendMsg(message)
}

// CloseSend implements grpc.ClientStream.
func (s *openingStream) CloseSend() error {
	stream, err := s.current(func() error {
		s.closed = true

		return nil
	})
	if stream == nil {
		return err
	}

	return stream.CloseSend()
}

// RecvMsg implements grpc.ClientStream.
func (s *openingStream) RecvMsg(message any) error {
	stream, err := s.wait()
	if err != nil {
		return err
	}

	return stream.RecvMsg(message)
}

// Header implements grpc.ClientStream.
func (s *openingStream) Header() (metadata.MD, error) {
	stream, err := s.wait()
	if err != nil {
		return nil, err
	}

	return stream.Header()
}

// Trailer implements grpc.ClientStream.
func (s *openingStream) Trailer() metadata.MD {
	stream, err := s.wait()
	if err != nil {
		return nil
	}

	return stream.Trailer()
}

// Context implements grpc.ClientStream.
func (s *openingStream) Context() context.Context { return s.ctx }
