// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package api serves the guard's state over gRPC as Talos serves its own: mutual TLS with the node's certificates,
// roles from the client's certificate, and requests for other nodes forwarded to their guards.
package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/siderolabs/grpc-proxy/proxy"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/service/internal/api/auth"
	"github.com/spegel-guard/spegel-guard/service/internal/api/encode"
	"github.com/spegel-guard/spegel-guard/service/internal/api/forward"
	"github.com/spegel-guard/spegel-guard/service/internal/api/guard"
	"github.com/spegel-guard/spegel-guard/service/internal/api/limits"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// Version of the guard, set by the linker.
var Version = "v0.0.0-dev"

// Node is the node that is served.
type Node = guard.Node

// Options of one server.
type Options struct {
	// Socket is the path of a unix socket for root on the node, without TLS. Without it the server listens on TCP.
	Socket string
	// Listen is the TCP address. It is served with the identity of the store, and never without TLS.
	Listen     string
	Identities *identity.Store
	// Forward requests for other nodes to their guards, at the port of Listen, if there is a client certificate.
	Forward bool
	// Served is called when the listener is open; it may be nil.
	Served func()
	// SendTimeout is how long a client may leave data unread; 0 is the default.
	SendTimeout time.Duration
	// HandshakeTimeout is how long TLS and the HTTP/2 preface may take together, with clients and with other guards; 0 is the default.
	HandshakeTimeout time.Duration
}

// Serve serves a node until the context ends. On TCP it waits for the first identity.
func Serve(ctx context.Context, node Node, opts Options, logger *zap.Logger) error {
	listener, err := listen(ctx, opts)
	if err != nil {
		return err
	}

	logger.Info("API is served", zap.Stringer("address", listener.Addr()), zap.String("network", listener.Addr().Network()))

	if opts.Served != nil {
		opts.Served()
	}

	var (
		connections = limits.NewConnections(logger)
		transport   credentials.TransportCredentials
		peers       *identity.Store
		background  sync.WaitGroup
	)

	ctx, cancel := context.WithCancel(ctx)
	defer background.Wait()

	if opts.Socket != "" {
		transport = auth.Unix()
	} else {
		transport = auth.TLS(opts.Identities)

		background.Go(func() {
			task.Run(ctx, "close connections with invalid certificates", func() { connections.Sweep(ctx, opts.Identities) })
		})
	}

	if opts.Forward {
		peers = opts.Identities
	}

	handshake := cmp.Or(opts.HandshakeTimeout, limits.HandshakeTimeout)

	s := &server{
		identities: opts.Identities, logger: logger, codec: proxy.Codec(), sendTimeout: opts.SendTimeout,
		router: forward.New(node.Name, listener.Addr(), peers, handshake),
	}

	background.Go(func() { task.Run(ctx, "close unused connections to guards", func() { s.router.Run(ctx) }) })

	g := grpc.NewServer(append(limits.ServerOptions(handshake), grpc.Creds(transport), grpc.StreamInterceptor(s.intercept),
		grpc.UnknownServiceHandler(unknown), grpc.ForceServerCodecV2(encode.Codec(s.codec)))...)
	register(g, node)

	stop := context.AfterFunc(ctx, func() { task.Do("stop the API", g.Stop) })
	defer stop()
	defer cancel()

	if err := g.Serve(connections.Listener(listener)); err != nil && !errors.Is(err, grpc.ErrServerStopped) && ctx.Err() == nil {
		return fmt.Errorf("failed to serve the API on %s: %w", listener.Addr(), err)
	}

	return nil
}

// unknown is the handler of methods that the guard does not have.
func unknown(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)

	return status.Errorf(codes.Unimplemented, "the guard has no method %.128s", method)
}
