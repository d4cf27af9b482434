// SPDX-License-Identifier: MPL-2.0

//go:build linux

package auth

import (
	"context"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/spegel-guard/spegel-guard/internal/peercred"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/api/limits"
)

type unixCredentials struct{}

// Unix returns the transport credentials of a unix socket that only root can open.
func Unix() credentials.TransportCredentials { return unixCredentials{} }

// ServerHandshake implements credentials.TransportCredentials.
func (unixCredentials) ServerHandshake(raw net.Conn) (_ net.Conn, _ credentials.AuthInfo, err error) {
	defer recovered(&err)

	c, ok := raw.(*limits.Conn)
	if !ok {
		return nil, nil, fmt.Errorf("unexpected connection %T on the unix socket", raw)
	}

	cred, err := peercred.Of(c.Conn)
	if err != nil {
		return nil, nil, err
	}

	if err := c.Established("", nil); err != nil {
		return nil, nil, err
	}

	return raw, unixInfo{
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, conn: raw,
		person: resources.Person{Subject: fmt.Sprintf("uid %d", cred.Uid), From: fmt.Sprintf("the node's unix socket, pid %d", cred.Pid)},
	}, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (unixCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("the credentials are for a server")
}

// Info implements credentials.TransportCredentials.
func (unixCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix"}
}

// Clone implements credentials.TransportCredentials.
func (u unixCredentials) Clone() credentials.TransportCredentials { return u }

// OverrideServerName implements credentials.TransportCredentials.
func (unixCredentials) OverrideServerName(string) error { return nil }
