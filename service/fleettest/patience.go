// SPDX-License-Identifier: MPL-2.0

//go:build linux

package fleettest

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// patience is as long as the requests of tests may take, because the machine may be busy.
const patience = time.Minute

// Patience lets an attempt to connect last as long as the guards wait for a handshake.
func Patience() grpc.DialOption { return ConnectFor(patience) }

// ConnectFor lets an attempt to connect last as long as given.
func ConnectFor(timeout time.Duration) grpc.DialOption {
	return grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: timeout})
}
