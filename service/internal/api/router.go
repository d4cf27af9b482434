// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

import (
	"context"
	"slices"
	"strings"

	"github.com/siderolabs/grpc-proxy/proxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Metadata by which clients name the nodes that a request is for, and by which a request that was
// forwarded is told: Talos' own.
const (
	nodeKey      = "node"
	nodesKey     = "nodes"
	proxyFromKey = "proxyfrom"
)

// maxNodes of one request.
const maxNodes = 1000

// router finds out whose a request is, as apid does (siderolabs/talos internal/app/apid/pkg/director): one
// node's is passed on as it is, several nodes' answers are put together.
type router struct {
	local func(ctx context.Context, node string) bool
	// peers are other nodes' guards; nil forwards nothing.
	peers *peers
}

// route is the handler of a request that is for other nodes; nil for one that is for this node.
func (r router) route(ctx context.Context, method string, streamed bool) (grpc.StreamHandler, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	node, nodes := md.Get(nodeKey), md.Get(nodesKey)

	switch {
	case len(node) == 0 && len(nodes) == 0:
		return nil, nil //nolint:nilnil // it is for this node
	case len(md.Get(proxyFromKey)) > 0:
		return nil, status.Errorf(codes.FailedPrecondition, "the request was forwarded once and is not forwarded again, to %s", strings.Join(slices.Concat(node, nodes), ", "))
	case len(node) > 1 || len(node) == 1 && len(nodes) > 0:
		return nil, status.Error(codes.InvalidArgument, "node metadata must be single-valued, and stand alone")
	case len(nodes) > maxNodes:
		return nil, status.Errorf(codes.InvalidArgument, "nodes metadata names %d nodes, at most %d can be asked at once", len(nodes), maxNodes)
	case len(nodes) > 1 && !aggregated(method):
		return nil, status.Errorf(codes.InvalidArgument, "one-2-many proxying is not supported for method %s", method)
	}

	targets := slices.Concat(node, nodes)

	if len(targets) == 1 && r.local(ctx, targets[0]) {
		return nil, nil //nolint:nilnil // it is for this node
	}

	if err := r.peers.available(); err != nil {
		return nil, status.Errorf(codes.PermissionDenied, "no request forwarding to %s: %s", strings.Join(targets, ", "), err)
	}

	return proxy.TransparentHandler(
		r.director(targets, len(nodes) > 0 && aggregated(method)),
		proxy.WithStreamedDetector(func(string) bool { return streamed }),
	), nil
}

// aggregated tells whether a method's answers can be put together: those that have the shape of Talos' do.
func aggregated(method string) bool {
	return strings.HasPrefix(method, "/machine.MachineService/") || strings.HasPrefix(method, "/spegelguard.v1alpha1.GuardService/")
}

func (r router) director(targets []string, aggregate bool) proxy.StreamDirector {
	return func(context.Context, string) (proxy.Mode, []proxy.Backend, error) {
		backends := make([]proxy.Backend, len(targets))

		for i, target := range targets {
			backends[i] = &peerNode{peers: r.peers, target: target}
		}

		if aggregate {
			return proxy.One2Many, backends, nil
		}

		return proxy.One2One, backends, nil
	}
}
