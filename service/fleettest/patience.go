// SPDX-License-Identifier: MPL-2.0

//go:build linux

package fleettest

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Patience lets an attempt to connect last a minute, as long as the requests of tests may, because the machine may be busy.
func Patience() grpc.DialOption {
	return grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: time.Minute})
}
