// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

import "time"

// MethodRoles is the table of who may call what.
var MethodRoles = methodRoles

// Bounds that the tests reach for.
const (
	MaxConnections      = maxConnections
	MaxHandshaking      = maxHandshaking
	MaxWatchesPerClient = maxWatchesPerClient

	MaxConnectionsPerClient = maxConnectionsPerClient
	MaxStreams              = maxStreams
	MaxRequest              = maxRequest
)

// WithSendTimeout cuts clients off sooner.
func (o Options) WithSendTimeout(timeout time.Duration) Options {
	o.sendTimeout = timeout

	return o
}
