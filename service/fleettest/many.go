// SPDX-License-Identifier: MPL-2.0

//go:build linux

package fleettest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/cosi-project/runtime/api/v1alpha1"
	cosiserver "github.com/cosi-project/runtime/pkg/state/protobuf/server"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/spegel-guard/spegel-guard/service/internal/api"
	"github.com/spegel-guard/spegel-guard/service/internal/api/guard"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// ServeMany serves one guard at all loopback addresses with one listener, until the context ends: a fleet of thousands costs no
// more than its connections. Each address has its own certificate. It has no limits of connections. It returns the port.
func ServeMany(ctx context.Context, authority *pki.PKI, g *Guard) (port int, err error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.CA())

	certificates := &certificates{authority: authority, byHost: map[string]*tls.Certificate{}}

	// The whole of 127.0.0.0/8 cannot be listened on; other addresses have no certificate.
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "0.0.0.0:0")
	if err != nil {
		return 0, fmt.Errorf("failed to listen: %w", err)
	}

	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, GetCertificate: certificates.get, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
	})))
	node := guard.Node{State: g.State, History: g.History}

	v1alpha1.RegisterStateServer(server, cosiserver.NewState(g.State))
	machine.RegisterMachineServiceServer(server, guard.NewVersionService(node, api.Version))

	go server.Serve(listener) //nolint:errcheck // a test sees that nobody answers
	context.AfterFunc(ctx, server.Stop)

	return listener.Addr().(*net.TCPAddr).Port, nil //nolint:forcetypeassert // of a TCP listener
}

// certificates are those of loopback addresses.
type certificates struct {
	authority *pki.PKI

	mu     sync.Mutex
	byHost map[string]*tls.Certificate
}

func (c *certificates) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	local, ok := hello.Conn.LocalAddr().(*net.TCPAddr)
	if !ok || !local.IP.IsLoopback() {
		return nil, errors.New("not a loopback address")
	}

	host := local.IP.String()

	c.mu.Lock()
	defer c.mu.Unlock()

	if found := c.byHost[host]; found != nil {
		return found, nil
	}

	pair, err := c.authority.Server(host)
	if err != nil {
		return nil, err
	}

	made, err := tls.X509KeyPair(pair.Crt, pair.Key)
	if err != nil {
		return nil, err
	}

	c.byHost[host] = &made

	return &made, nil
}
