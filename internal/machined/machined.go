// SPDX-License-Identifier: MPL-2.0

// Package machined connects to Talos' machined over its unix socket.
//
// machinery's client could do it, but it brings what signs requests to clusters elsewhere (OpenPGP), which the guard
// has no use for and would keep in memory on every node.
package machined

import (
	"fmt"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// Dial prepares a connection: it connects when it is used, and again after a loss, with a back-off. The socket has no
// TLS: machined knows its clients by their process.
func Dial(socket string, reconnect backoff.Config) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(constants.GRPCMaxMessageSize)),
		// What a person's environment says about proxies is not about this.
		grpc.WithNoProxy(),
	)
	if err != nil {
		return nil, fmt.Errorf("error preparing the connection to machined at %s: %w", socket, err)
	}

	return conn, nil
}
