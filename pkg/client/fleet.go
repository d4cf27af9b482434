// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

const (
	// maxResponse bounds a response, or a message of a stream, in bytes.
	maxResponse = 4 << 20
	// connectTimeout of one attempt.
	connectTimeout = 5 * time.Second
	// nodeKey is talosctl's metadata for the node of a request.
	nodeKey = "node"
)

// Fleet is the guards of some nodes.
type Fleet struct {
	nodes   []*Node
	conns   []io.Closer
	turns   turns
	timeout time.Duration
	tls     *tls.Config
}

// newFleet returns a fleet that connects with the first request: to each node, or to one of the endpoints.
func newFleet(config *tls.Config, endpoints, names []string, timeout time.Duration, extra []grpc.DialOption) (*Fleet, error) {
	fleet := &Fleet{timeout: timeout, tls: config, turns: newTurns()}

	if len(endpoints) > 0 {
		conn, err := dialAny(endpoints, append(dialOptions(config, new(atomic.Int32)), extra...))
		if err != nil {
			return nil, err
		}

		fleet.conns = append(fleet.conns, conn)

		var addresses []string

		for _, endpoint := range endpoints {
			addresses = append(addresses, withPort(endpoint))
		}

		place := strings.Join(addresses, ", ")

		for _, name := range names {
			fleet.nodes = append(fleet.nodes, newNode(name, forwarded{ClientConn: conn, node: name}, origin{address: place, common: place, tls: config}, timeout))
		}

		return fleet, nil
	}

	for _, name := range names {
		address := withPort(name)
		conn := &direct{address: address, tls: config, extra: extra, brief: len(names) > maxKept}

		node := newNode(name, conn, origin{address: address, common: "port " + portOf(address), tls: config}, timeout)
		node.conn = conn

		fleet.conns = append(fleet.conns, conn)
		fleet.nodes = append(fleet.nodes, node)
	}

	return fleet, nil
}

// dialAny connects to the first endpoint that responds.
func dialAny(endpoints []string, options []grpc.DialOption) (*grpc.ClientConn, error) {
	found := manual.NewBuilderWithScheme("guards")

	var addresses []resolver.Address

	for _, endpoint := range endpoints {
		address := withPort(endpoint)

		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}

		addresses = append(addresses, resolver.Address{Addr: address, ServerName: host})
	}

	found.InitialState(resolver.State{Addresses: addresses})

	return grpc.NewClient("guards:///", append(options, grpc.WithResolvers(found))...)
}

// dialOptions returns the options of a connection, which counts its open TCP connections in open.
func dialOptions(config *tls.Config, open *atomic.Int32) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(newTransport(config, open)),
		grpc.WithNoProxy(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 15 * time.Second}, MinConnectTimeout: connectTimeout,
		}),
		// A stream notices when its node is gone.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse), boundElements(maxElements)),
		grpc.WithChainStreamInterceptor(boundLists),
	}
}

// Nodes returns the nodes in the order of the options.
func (f *Fleet) Nodes() []*Node { return f.nodes }

// Certificate returns the client certificate in use.
func (f *Fleet) Certificate() tls.Certificate { return f.tls.Certificates[0] }

// Close closes all connections.
func (f *Fleet) Close() error {
	var errs []error

	for _, conn := range f.conns {
		errs = append(errs, conn.Close())
	}

	return errors.Join(errs...)
}

// forwarded is a connection to an endpoint that passes requests on to a node.
type forwarded struct {
	*grpc.ClientConn

	node string
}

// Invoke implements grpc.ClientConnInterface.
func (f forwarded) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return f.ClientConn.Invoke(metadata.AppendToOutgoingContext(ctx, nodeKey, f.node), method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (f forwarded) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return f.ClientConn.NewStream(metadata.AppendToOutgoingContext(ctx, nodeKey, f.node), desc, method, opts...)
}
