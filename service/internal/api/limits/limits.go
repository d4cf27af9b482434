// SPDX-License-Identifier: MPL-2.0

// Package limits bounds what clients of the API can make the guard hold: connections, handshakes, streams, and data
// that a client does not read.
package limits

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// Bounds of all clients together. They are far above what the operators of a fleet need, and low enough that the
// guard stays small under any load.
const (
	MaxConnections = 256
	// MaxConnectionsPerClient share one certificate.
	MaxConnectionsPerClient = 16

	// maxHandshaking is the number of connections without a verified certificate, in total and from one address. One above the
	// total replaces another one. One above the number of its address is refused.
	maxHandshaking        = 64
	maxHandshakingPerHost = 16
	// HandshakeTimeout is for TLS and the HTTP/2 preface together.
	HandshakeTimeout = 5 * time.Second

	// maxStreams is the number of open streams: requests and watches.
	maxStreams = 1500
	// MaxStreamsPerClient lets a client follow all events of 100 nodes through one endpoint: client.Node.Events has six
	// streams for each.
	MaxStreamsPerClient = 640
)

// Bounds of one connection.
const (
	// MaxStreams lets one connection carry all the streams of a client.
	MaxStreams = MaxStreamsPerClient
	// MaxRequest is in bytes: a request has a few names. Its metadata may name the nodes of a whole fleet.
	MaxRequest  = 8 << 10
	maxMetadata = 64 << 10
	// bufferSize is small, because most connections are idle watches.
	bufferSize = 4 << 10
)

// ServerOptions returns the bounds of one connection, whose handshake may take as long as given.
func ServerOptions(handshake time.Duration) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ConnectionTimeout(handshake),
		grpc.MaxConcurrentStreams(MaxStreams),
		grpc.MaxRecvMsgSize(MaxRequest),
		grpc.MaxHeaderListSize(maxMetadata),
		grpc.ReadBufferSize(bufferSize),
		grpc.WriteBufferSize(bufferSize),
		// A client that is gone, or reads nothing, is noticed after a minute; one that pings all the time is
		// disconnected.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 40 * time.Second, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
}
