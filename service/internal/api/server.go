// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package api serves the guard's state over gRPC the way Talos serves its own: mutual TLS with the node's
// certificates, roles from the client's certificate, and requests that are for other nodes forwarded to
// their guards.
package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/siderolabs/grpc-proxy/proxy"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// Bounds of one connection.
const (
	// maxRequest: requests are a few names, but metadata may name a whole fleet's nodes.
	maxRequest  = 64 << 10
	maxMetadata = 64 << 10
	maxStreams  = 100
	// buffers are small: most connections are idle watches.
	bufferSize = 4 << 10
)

// Options of one server.
type Options struct {
	// Socket is the path of a unix socket: for root on the node itself, without TLS. Without one it is TCP.
	Socket string
	// Listen is the TCP address; it is served with the identity of the store or not at all.
	Listen     string
	Identities *identity.Store
	// Forward requests for other nodes to their guards, where there is a client certificate for it. They are
	// expected to listen on the port of Listen.
	Forward bool
	// Served is called when the listener is open; nil is not.
	Served func()

	// sendTimeout of a stream; 0 is the usual one.
	sendTimeout time.Duration
}

// Serve serves a node read-only, but for people's orders, until the context ends. On TCP it waits for the
// first identity.
func Serve(ctx context.Context, node Node, opts Options, logger *zap.Logger) error {
	listener, err := listen(ctx, opts)
	if err != nil {
		return err
	}

	logger.Info("API is served", zap.Stringer("address", listener.Addr()), zap.String("network", listener.Addr().Network()))

	if opts.Served != nil {
		opts.Served()
	}

	s := &server{
		identities: opts.Identities, logger: logger, connections: newConnections(logger), sendTimeout: cmp.Or(opts.sendTimeout, sendTimeout),
		router: router{local: localTo(node.Name, listener.Addr())},
	}

	// An end of serving, for whatever reason, is one of what goes on beside it.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var beside sync.WaitGroup
	defer beside.Wait()

	options := []grpc.ServerOption{grpc.Creds(local{})}

	if opts.Socket == "" {
		options = []grpc.ServerOption{grpc.Creds(rotating{store: opts.Identities})}

		beside.Go(func() { s.connections.sweep(ctx, opts.Identities) })
	}

	if opts.Forward && opts.Identities != nil {
		s.router.peers = newPeers(node.Name, opts.Identities, portOf(opts.Listen))

		beside.Go(func() { s.router.peers.run(ctx) })
	}

	g := grpc.NewServer(append(options, s.options()...)...)
	node.register(g)

	stop := context.AfterFunc(ctx, g.Stop)
	defer stop()
	defer cancel()

	if err := g.Serve(limited{Listener: listener, set: s.connections}); err != nil && !errors.Is(err, grpc.ErrServerStopped) && ctx.Err() == nil {
		return fmt.Errorf("error serving the API on %s: %w", listener.Addr(), err)
	}

	return nil
}

func listen(ctx context.Context, opts Options) (net.Listener, error) {
	if opts.Socket != "" {
		return listenUnix(opts.Socket)
	}

	if opts.Identities == nil {
		return nil, errors.New("the API on TCP needs TLS")
	}

	if _, err := opts.Identities.Wait(ctx); err != nil {
		return nil, err
	}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("error listening on api.listen: %w", err)
	}

	return listener, nil
}

// server is what all its requests go through.
type server struct {
	identities  *identity.Store
	logger      *zap.Logger
	connections *connections
	watches     watches
	router      router
	sendTimeout time.Duration
}

func (s *server) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.StreamInterceptor(s.intercept),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			method, _ := grpc.MethodFromServerStream(stream)

			return status.Errorf(codes.Unimplemented, "the guard has no method %s", method)
		}),
		grpc.ForceServerCodecV2(proxy.Codec()),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxHeaderListSize(maxMetadata),
		grpc.ReadBufferSize(bufferSize),
		grpc.WriteBufferSize(bufferSize),
		// A client that is gone, or reads nothing at all, is noticed after a minute; one that pings all the
		// time is cut off.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 40 * time.Second, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
}

// intercept is the way of every request: who makes it, may they, is there room, and whose is it.
func (s *server) intercept(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	// Guarding goes on, whatever becomes of a request.
	defer func() {
		if p := recover(); p != nil {
			s.logger.Error("a request panicked", zap.String("method", info.FullMethod), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))

			err = status.Error(codes.Internal, "the request failed, the guard's log says why")
		}
	}()

	who, err := identify(stream.Context(), s.identities)
	if err != nil {
		return err
	}

	if err := authorize(who, info.FullMethod); err != nil {
		return err
	}

	if info.IsServerStream {
		if err := s.watches.begin(who.key()); err != nil {
			return err
		}

		defer s.watches.end(who.key())
	}

	timeout, cut := s.sendTimeout, s.cut(stream.Context(), who)

	if who.forwarded {
		timeout *= forwardedFactor
	} else {
		// What is buffered for it is given up with the connection alone.
		defer func() {
			if errors.Is(err, errTooSlow) {
				cut()
			}
		}()
	}

	stream = &request{
		ServerStream: impatient{ServerStream: stream, timeout: timeout, cut: cut},
		ctx:          context.WithValue(stream.Context(), callerKey{}, who),
	}

	route, err := s.router.route(stream.Context(), info.FullMethod, info.IsServerStream)
	if err != nil {
		return err
	}

	if route != nil {
		return route(service, stream)
	}

	return handler(service, stream)
}

// cut ends a client's connection.
func (s *server) cut(ctx context.Context, who caller) func() {
	return func() {
		if info, ok := authInfo(ctx).(cuttable); ok && info.cut() {
			s.logger.Warn("a client was cut off: it does not read", zap.String("subject", who.person.Subject), zap.String("from", who.person.From))
		}
	}
}

// request is a stream whose context says who makes it.
type request struct {
	grpc.ServerStream

	ctx context.Context //nolint:containedctx // grpc.ServerStream hands its context out by a method
}

// Context implements grpc.ServerStream.
func (r *request) Context() context.Context { return r.ctx }
