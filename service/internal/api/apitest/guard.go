// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package apitest serves guards over real TLS for the tests of the API's packages.
package apitest

import (
	"cmp"
	"context"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/fleettest"
	"github.com/spegel-guard/spegel-guard/service/internal/api"
	"github.com/spegel-guard/spegel-guard/service/internal/doctor"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// Patience is how long tests wait for what must happen.
const Patience = 2 * time.Minute

// Workload is the only target of every guard.
const Workload = "spegel/spegel-x7k2p/registry"

// Guard is the API over a state with one throttled target.
type Guard struct {
	PKI        *pki.PKI
	Host       string
	Endpoint   string
	Socket     string
	State      state.State
	Identities *identity.Store
	History    *record.History
	Logs       *observer.ObservedLogs
}

// Options of a guard under test.
type Options struct {
	PKI          *pki.PKI
	Host, Port   string
	ControlPlane bool
	Forward      bool
	// Store that the test fills; nil is one with an identity.
	Store *identity.Store
	// Name of the node; nil is the hostname of the process.
	Name *identity.NodeName
	// HandshakeTimeout of the guard; 0 is Patience.
	HandshakeTimeout time.Duration
	// Capture replaces one that captures nothing.
	Capture func() (string, error)
}

// New serves a guard on the loopback until the test ends.
func New(t testing.TB, opts Options) *Guard {
	t.Helper()

	if opts.PKI == nil {
		opts.PKI = NewPKI(t)
	}

	if opts.Host == "" {
		opts.Host = "127.0.0.1"
	}

	if opts.Port == "" {
		opts.Port = FreePort(t)
	}

	core, logs := observer.New(zap.InfoLevel)
	logger := zap.New(core)
	ctx, cancel := context.WithCancel(context.Background())
	st := state.WrapCore(namespaced.NewState(inmem.Build))
	require.NoError(t, resources.Register(ctx, st))

	for _, r := range Specimens() {
		require.NoError(t, st.Create(ctx, r))
	}

	actions := record.NewActions(st, logger)

	overrides, err := override.Open(ctx, st, actions, nil, override.File{Path: filepath.Join(t.TempDir(), "overrides.json")}, boottime.Now, logger)
	require.NoError(t, err)

	g := &Guard{
		PKI: opts.PKI, Host: opts.Host, Endpoint: net.JoinHostPort(opts.Host, opts.Port), Socket: filepath.Join(t.TempDir(), "run", "guard.sock"),
		State: st, Identities: opts.Store, History: &record.History{}, Logs: logs,
	}

	if g.Identities == nil {
		g.Identities = &identity.Store{}
		g.Identities.Set(newIdentity(t, opts.PKI, opts.ControlPlane, opts.Host))
	}

	if opts.Capture == nil {
		opts.Capture = func() (string, error) { return "/run/spegel-guard/captures/1", nil }
	}

	node := api.Node{
		State: st, Overrides: overrides, Actions: actions, History: g.History, Name: opts.Name,
		Capture: func(context.Context, string, resources.TargetSpec) (string, error) { return opts.Capture() },
		Doctor:  doctor.Doctor{State: st, Identities: g.Identities}.Checks,
	}

	var (
		group  errgroup.Group
		served sync.WaitGroup
	)

	for _, serve := range []api.Options{
		{Socket: g.Socket},
		{Listen: g.Endpoint, Identities: g.Identities, Forward: opts.Forward, HandshakeTimeout: cmp.Or(opts.HandshakeTimeout, Patience)},
	} {
		// A test's own store may have no identity yet.
		if serve.Socket != "" || opts.Store == nil {
			served.Add(1)

			serve.Served = sync.OnceFunc(served.Done)
		}

		group.Go(func() error {
			err := api.Serve(ctx, node, serve, logger)
			if serve.Served != nil {
				serve.Served() // it may have failed to listen
			}

			return err
		})
	}

	group.Go(func() error { return overrides.Run(ctx) })
	served.Wait()

	t.Cleanup(func() {
		cancel()
		assert.NoError(t, group.Wait())
	})

	return g
}

// NewPKI returns a new certificate authority.
func NewPKI(t testing.TB) *pki.PKI {
	t.Helper()

	authority, err := pki.New()
	require.NoError(t, err)

	return authority
}

// newIdentity returns the identity of a Talos node.
func newIdentity(t testing.TB, authority *pki.PKI, controlPlane bool, host string) *identity.Identity {
	t.Helper()

	server, err := authority.Server(host)
	require.NoError(t, err)

	material := identity.Material{CAs: [][]byte{authority.CA()}, Server: *server}

	if controlPlane {
		material.Client, err = authority.Client("apid", time.Hour, role.Impersonator)
		require.NoError(t, err)
	}

	id, err := identity.New(material)
	require.NoError(t, err)

	return id
}

// FreePort returns a port that is free at the time.
func FreePort(t testing.TB) string {
	t.Helper()

	port, err := fleettest.FreePort()
	require.NoError(t, err)

	return strconv.Itoa(port)
}

// Client returns the client that talosctl makes of a talosconfig with a certificate of the roles.
func (g *Guard) Client(t testing.TB, roles ...role.Role) *client.Client {
	t.Helper()

	pair, err := g.PKI.Client("anna", time.Hour, roles...)
	require.NoError(t, err)

	return Dial(t, pki.Context(pair, g.Endpoint, g.PKI))
}

// Service returns a client of the guard's own service.
func (g *Guard) Service(t testing.TB, roles ...role.Role) guardv1alpha1.GuardServiceClient {
	t.Helper()

	return guardv1alpha1.NewGuardServiceClient(g.Client(t, roles...).Conn())
}

// Dial connects as talosctl does.
func Dial(t testing.TB, clientContext *clientconfig.Context) *client.Client {
	t.Helper()

	c, err := client.New(t.Context(), client.WithConfigContext(clientContext), client.WithGRPCDialOptions(
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true))))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() }) //nolint:errcheck // the test ends

	return c
}
