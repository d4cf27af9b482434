// SPDX-License-Identifier: MPL-2.0

package auth

import (
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// tlsInfo describes a client over TCP.
type tlsInfo struct {
	credentials.TLSInfo

	// identity that was in force when the client's certificate was verified.
	identity *identity.Identity
	conn     net.Conn
}

// unixInfo describes a process on the node.
type unixInfo struct {
	credentials.CommonAuthInfo

	person resources.Person
	conn   net.Conn
}

// AuthType implements credentials.AuthInfo.
func (unixInfo) AuthType() string { return "unix" }
