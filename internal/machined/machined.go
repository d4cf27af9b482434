// SPDX-License-Identifier: MPL-2.0

// Package machined connects to Talos' machined over its unix socket.
//
// The client of Talos' machinery would add OpenPGP, with which it signs requests, to the guard's memory on every node.
package machined

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/spegel-guard/spegel-guard/internal/talos"
)

// Dial returns a connection that connects at its first use, and again after a loss with the back-off. The socket has no TLS:
// machined identifies its clients by their process.
func Dial(socket string, reconnect backoff.Config) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(talos.MaxMessageSize)),
		// Proxies of the environment do not apply to a unix socket.
		grpc.WithNoProxy(),
	)
	if err != nil {
		return nil, fmt.Errorf("failed to create the connection to machined at %s: %w", socket, err)
	}

	return conn, nil
}
