// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/service/internal/api/auth"
	"github.com/spegel-guard/spegel-guard/service/internal/api/encode"
	"github.com/spegel-guard/spegel-guard/service/internal/api/forward"
	"github.com/spegel-guard/spegel-guard/service/internal/api/limits"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// server is the state that all requests of one listener share.
type server struct {
	identities  *identity.Store
	logger      *zap.Logger
	streams     limits.Streams
	unread      limits.Unread
	codec       encoding.CodecV2
	messages    encode.Messages
	router      *forward.Router
	sendTimeout time.Duration
}

// intercept handles every request: it identifies the caller, checks roles and limits, and forwards or serves.
func (s *server) intercept(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	// A fault in a request must not end the guard.
	defer func() {
		if p := recover(); p != nil {
			err = status.Error(codes.Internal, task.Recovered("serve "+info.FullMethod, p).Error())
		}
	}()

	ctx := stream.Context()

	caller, err := auth.Identify(ctx, s.identities)
	if err != nil {
		return err
	}

	if err := auth.Authorize(caller, info.FullMethod); err != nil {
		return err
	}

	end, err := s.streams.Begin(caller.Key())
	if err != nil {
		return err
	}

	defer end()

	conn, ok := auth.Connection(ctx).(*limits.Conn)
	if !ok {
		return status.Error(codes.Internal, "the request has no connection")
	}

	if caller.Forwarded {
		conn.Share()
	}

	// gRPC would answer a compressed request with buffers that nobody counts.
	if err := grpc.SetSendCompressor(ctx, encoding.Identity); err != nil {
		return err
	}

	disconnect := func(conn *limits.Conn) {
		if conn.Close() == nil {
			s.logger.Warn("client disconnected, it does not read", zap.String("subject", caller.Person.Subject), zap.String("from", caller.Person.From))
		}
	}

	cut := func() { disconnect(conn) }

	// Data that is buffered for a stream is freed with its connection. The connection of another guard has the
	// streams of other clients, too.
	if !caller.Forwarded {
		defer func() {
			if errors.Is(err, limits.ErrTooSlow) {
				cut()
			}
		}()
	}

	patience := limits.Patience(s.sendTimeout, caller.Forwarded)
	waiting := limits.NewWaiting(patience, info.IsServerStream, disconnect)

	stream = encode.Stream{
		ServerStream: limits.Sender{ServerStream: stream, Patience: patience, Cut: cut}, Messages: &s.messages, Codec: s.codec,
		Hold: func(size int) (func(), error) { return s.unread.Hold(ctx, conn, caller.Key(), size, waiting) },
	}
	stream = request{ServerStream: limits.NewStream(stream, caller.Forwarded, cut), ctx: auth.NewContext(ctx, caller)}

	route, err := s.router.Route(stream.Context(), info.FullMethod, info.IsServerStream)
	if err != nil {
		return err
	}

	if route != nil {
		return route(service, stream)
	}

	// Requests that wait for room keep their answers in memory. A watch sends small messages, one at a time.
	if !info.IsServerStream {
		done, err := s.unread.Answer(ctx, caller.Key())
		if err != nil {
			return err
		}

		defer done()
	}

	return handler(service, stream)
}

// request is a stream whose context has the caller.
type request struct {
	grpc.ServerStream

	ctx context.Context //nolint:containedctx // grpc.ServerStream returns its context from a method
}

// Context implements grpc.ServerStream.
func (r request) Context() context.Context { return r.ctx }
