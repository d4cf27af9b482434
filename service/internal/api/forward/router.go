// SPDX-License-Identifier: MPL-2.0

// Package forward forwards requests to the guards of other nodes, as apid does.
package forward

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siderolabs/grpc-proxy/proxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/internal/unreachable"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// Talos' metadata: the nodes that a request is for, and the node that forwarded it.
const (
	nodeKey      = "node"
	nodesKey     = "nodes"
	proxyFromKey = "proxyfrom"
)

const (
	// maxNodes is the number of nodes in one request.
	maxNodes = 256
	// maxName is the length of the longest host name as text, in bytes (RFC 1035, section 2.3.4). Addresses are shorter.
	maxName = 253
	// maxNamed is how many nodes an error names: a caller decides how many there are.
	maxNamed = 3
)

// Router decides which node a request is for, as apid does (siderolabs/talos internal/app/apid/pkg/director): a request
// for one node is passed on unchanged, the responses of several nodes are combined.
type Router struct {
	name  *identity.NodeName
	local func(ctx context.Context, node string) (bool, error)
	// peers are other nodes' guards; nil forwards nothing.
	peers *peers
}

// New returns a router for the node with the name and the listener's address. Requests for other nodes go to guards at
// the listener's port, with the store's client certificate; without a store they are refused. The timeout is for each attempt to connect.
func New(name *identity.NodeName, listening net.Addr, store *identity.Store, connectTimeout time.Duration) *Router {
	r := &Router{name: name, local: localTo(name, listening)}

	if tcp, ok := listening.(*net.TCPAddr); ok && store != nil {
		r.peers = newPeers(name, store, strconv.Itoa(tcp.Port), connectTimeout)
	}

	return r
}

// Run closes unused connections to other guards until the context ends, and then all of them.
func (r *Router) Run(ctx context.Context) {
	if r.peers != nil {
		r.peers.run(ctx)
	}
}

// Route returns the handler of a request for other nodes; nil for a request for this node.
func (r *Router) Route(ctx context.Context, method string, streamed bool) (grpc.StreamHandler, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	node, nodes := md.Get(nodeKey), md.Get(nodesKey)

	switch {
	case len(node) == 0 && len(nodes) == 0:
		return nil, nil //nolint:nilnil // for this node
	case longest(node, nodes) > maxName:
		return nil, status.Errorf(codes.InvalidArgument, "invalid metadata: the name of a node has %d bytes, must have at most %d", longest(node, nodes), maxName)
	case len(md.Get(proxyFromKey)) > 0:
		return nil, status.Errorf(codes.FailedPrecondition, "the request was forwarded already and is not forwarded again to %s", named(slices.Concat(node, nodes)))
	case len(node) > 1 || len(node) == 1 && len(nodes) > 0:
		return nil, status.Error(codes.InvalidArgument, "invalid metadata: node must have one value, and exclude nodes")
	case len(nodes) > maxNodes:
		return nil, status.Errorf(codes.InvalidArgument, "invalid metadata: nodes has %d values, must have at most %d: send several requests", len(nodes), maxNodes)
	case len(nodes) > 1 && !aggregated(method):
		return nil, status.Errorf(codes.InvalidArgument, "one-2-many proxying is not supported for method %.128s", method)
	}

	targets := slices.Concat(node, nodes)

	var unknown error

	if len(targets) == 1 {
		local, err := r.local(ctx, targets[0])
		if local {
			return nil, nil //nolint:nilnil // for this node
		}

		unknown = err
	}

	if err := r.peers.available(); err != nil {
		return nil, r.refused(targets, unknown, err)
	}

	handler := proxy.TransparentHandler(
		r.director(targets, len(nodes) > 0 && aggregated(method), streamed),
		proxy.WithStreamedDetector(func(string) bool { return streamed }),
	)

	return func(service any, stream grpc.ServerStream) error {
		return r.peers.explain(named(targets), handler(service, stream))
	}, nil
}

// longest returns the length of the longest name, in bytes.
func longest(names ...[]string) int {
	length := 0

	for _, name := range slices.Concat(names...) {
		length = max(length, len(name))
	}

	return length
}

// named returns the first names, and how many more there are.
func named(names []string) string {
	if len(names) <= maxNamed {
		return strings.Join(names, ", ")
	}

	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), len(names)-maxNamed)
}

// refused returns the error of a request that is not for this node and is not forwarded. Its code is that of apid.
func (r *Router) refused(targets []string, unknown, reason error) error {
	if unknown != nil {
		return status.Errorf(codes.PermissionDenied, unreachable.Through+"%s; it does not know the name %s, and forwards no request: %s", r.name, targets[0], reason)
	}

	return status.Errorf(codes.PermissionDenied, unreachable.Through+"%s; it forwards no request to %s: %s", r.name, named(targets), reason)
}

// aggregated reports whether the responses of a method can be combined: those in the shape of Talos' machine API can.
func aggregated(method string) bool {
	return strings.HasPrefix(method, "/machine.MachineService/") || strings.HasPrefix(method, "/spegelguard.v1alpha1.GuardService/")
}

func (r *Router) director(targets []string, aggregate, streamed bool) proxy.StreamDirector {
	return func(context.Context, string) (proxy.Mode, []proxy.Backend, error) {
		backends := make([]proxy.Backend, len(targets))

		for i, target := range targets {
			backends[i] = &peerNode{peers: r.peers, target: target, combined: aggregate && !streamed}
		}

		if aggregate {
			return proxy.One2Many, backends, nil
		}

		return proxy.One2One, backends, nil
	}
}
