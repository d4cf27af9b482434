// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Bounds of what is forwarded at a time. A connection without a call is closed for another one, so that these bounds count only
// what is in progress.
const (
	// maxPeers is the number of connections to other guards, and maxPeersPerClient of those with calls of one client, which
	// leaves the others to other clients.
	maxPeers          = 1024
	maxPeersPerClient = maxNodes
	// maxCalls is the number of calls, each of which takes some kilobytes. maxCallsPerClient is above limits.MaxStreamsPerClient,
	// so that it bounds requests for many nodes only.
	maxCalls          = 2048
	maxCallsPerClient = 768
)

// usage counts the calls in progress.
type usage struct {
	calls int
	// clients by their key.
	clients map[string]clientUsage
}

// clientUsage counts the calls of one client, and the connections that have some.
type clientUsage struct{ calls, peers int }

// admit returns an error with the code ResourceExhausted for a call above the bounds. Another tells that the client has no call
// on the connection yet.
func (u *usage) admit(client string, another bool) error {
	of := u.clients[client]

	switch {
	case another && of.peers >= maxPeersPerClient:
		return status.Errorf(codes.ResourceExhausted,
			"requests of the client to %d nodes are in progress, no request to another one is forwarded: wait for their end", of.peers)
	case of.calls >= maxCallsPerClient:
		return status.Errorf(codes.ResourceExhausted, "%d forwarded requests of the client are in progress, must be at most %d: wait for their end", of.calls, maxCallsPerClient)
	case u.calls >= maxCalls:
		return status.Errorf(codes.ResourceExhausted, "%d forwarded requests are in progress, must be at most %d: try again later", u.calls, maxCalls)
	default:
		return nil
	}
}

// add counts calls of a client and connections that have some.
func (u *usage) add(client string, calls, peers int) {
	if u.clients == nil {
		u.clients = map[string]clientUsage{}
	}

	u.calls += calls

	of := u.clients[client]
	of.calls += calls
	of.peers += peers

	if u.clients[client] = of; of.calls == 0 {
		delete(u.clients, client)
	}
}
