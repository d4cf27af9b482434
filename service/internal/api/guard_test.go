//go:build linux

package api_test

import (
	"context"
	"net"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
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

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/api"
	"github.com/spegel-guard/spegel-guard/service/internal/doctor"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// workload is the one target of every guard here.
const workload = "spegel/spegel-x7k2p/registry"

// guard is the API over a state with one throttled target.
type guard struct {
	pki        *pki.PKI
	host       string
	endpoint   string
	socket     string
	state      state.State
	identities *identity.Store
	book       *override.Book
	history    *record.History
	logs       *observer.ObservedLogs
}

// options of a guard under test.
type options struct {
	pki          *pki.PKI
	host, port   string
	controlPlane bool
	forward      bool
	sendTimeout  time.Duration
	// store that somebody else fills.
	store *identity.Store
	// name of the node; nil is the process' own hostname.
	name *identity.NodeName
	// capture in the place of one that keeps nothing.
	capture func() (string, error)
}

// newGuard serves a guard on the loopback until the test ends.
func newGuard(t *testing.T, opts options) *guard {
	t.Helper()

	if opts.pki == nil {
		opts.pki = newPKI(t)
	}

	if opts.host == "" {
		opts.host = "127.0.0.1"
	}

	if opts.port == "" {
		opts.port = freePort(t)
	}

	core, logs := observer.New(zap.InfoLevel)
	logger := zap.New(core)
	ctx, cancel := context.WithCancel(context.Background())
	st := state.WrapCore(namespaced.NewState(inmem.Build))
	require.NoError(t, resources.Register(ctx, st))
	fill(ctx, t, st)

	book, err := override.Open(ctx, st, record.NewLog(st, logger), persist.File[override.Entry]{Path: filepath.Join(t.TempDir(), "orders.json")}, logger)
	require.NoError(t, err)

	g := &guard{
		pki: opts.pki, host: opts.host, endpoint: net.JoinHostPort(opts.host, opts.port), socket: filepath.Join(t.TempDir(), "run", "guard.sock"),
		state: st, identities: opts.store, book: book, history: &record.History{}, logs: logs,
	}

	if g.identities == nil {
		g.identities = &identity.Store{}
		g.identities.Set(newIdentity(t, opts.pki, opts.controlPlane, opts.host))
	}

	if opts.capture == nil {
		opts.capture = func() (string, error) { return "/run/spegel-guard/captures/1", nil }
	}

	node := api.Node{
		State: st, Overrides: book, History: g.history, Name: opts.name,
		Capture: func(context.Context, string, resources.TargetSpec) (string, error) { return opts.capture() },
		Doctor:  doctor.Doctor{State: st, Identities: g.identities}.Checks,
	}

	var group errgroup.Group

	for _, serve := range []api.Options{{Socket: g.socket}, {Listen: g.endpoint, Identities: g.identities, Forward: opts.forward}} {
		group.Go(func() error { return api.Serve(ctx, node, serve.WithSendTimeout(opts.sendTimeout), logger) })
	}

	group.Go(func() error { return book.Run(ctx) })

	t.Cleanup(func() {
		cancel()
		assert.NoError(t, group.Wait())
	})

	return g
}

func newPKI(t *testing.T) *pki.PKI {
	t.Helper()

	authority, err := pki.New()
	require.NoError(t, err)

	return authority
}

// newIdentity is what a node of Talos has.
func newIdentity(t *testing.T, authority *pki.PKI, controlPlane bool, host string, accepted ...*pki.PKI) *identity.Identity {
	t.Helper()

	material := identity.Material{CAs: [][]byte{authority.CA()}}

	for _, other := range accepted {
		material.CAs = append(material.CAs, other.CA())
	}

	server, err := authority.Server(host)
	require.NoError(t, err)

	material.Server = *server

	if controlPlane {
		material.Client, err = authority.Client("apid", time.Hour, role.Impersonator)
		require.NoError(t, err)
	}

	id, err := identity.New(material)
	require.NoError(t, err)

	return id
}

// freePort asks for a port and gives it back.
func freePort(t *testing.T) string {
	t.Helper()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)

	defer listener.Close()

	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)

	return port
}

// client is what talosctl makes of a talosconfig with a certificate of the roles.
func (g *guard) client(t *testing.T, roles ...role.Role) *client.Client {
	t.Helper()

	pair, err := g.pki.Client("anna", time.Hour, roles...)
	require.NoError(t, err)

	return dial(t, pki.Context(pair, g.endpoint, g.pki))
}

func dial(t *testing.T, clientContext *clientconfig.Context) *client.Client {
	t.Helper()

	c, err := client.New(t.Context(), client.WithConfigContext(clientContext), client.WithGRPCDialOptions(
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true))))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })

	return c
}

// specimens are one resource of each type, with every field set.
func specimens() []resource.Resource {
	all := []resource.Resource{
		resources.NewGuardConfig(resources.GuardConfigID), resources.NewTarget(workload), resources.NewTargetStats(workload),
		resources.NewNodeStats(), resources.NewRuleStatus(workload + "/SpegelHighCPU"), resources.NewDesiredCeiling(workload),
		resources.NewCeilingStatus(workload), resources.NewGuardStatus(resources.GuardStatusID), resources.NewCondition(resources.ConditionDiscovery),
		resources.NewVerdict(workload), resources.NewGuardAction("000000"),
	}

	for _, r := range all {
		setAll(reflect.ValueOf(r.Spec()).Elem())

		switch r := r.(type) {
		case *resources.GuardConfig:
			document, err := config.Marshal(config.Default())
			if err != nil {
				panic(err)
			}

			r.TypedSpec().Document, r.TypedSpec().Mode = string(document), string(config.ModeEnforce)
		case *resources.GuardStatus:
			r.TypedSpec().State = resources.StateThrottled
		case *resources.CeilingStatus:
			r.TypedSpec().OwnerLimit = "max 100000"
		case *resources.GuardAction:
			r.TypedSpec().Action = resources.ActionApply
		}
	}

	return all
}

// setAll sets every field to something that is not its zero.
func setAll(value reflect.Value) {
	switch v := value.Addr().Interface().(type) {
	case *time.Time:
		*v = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)

		return
	case *time.Duration:
		*v = 90 * time.Second

		return
	}

	switch value.Kind() {
	case reflect.Struct:
		for i := range value.NumField() {
			setAll(value.Field(i))
		}
	case reflect.Slice:
		value.Set(reflect.MakeSlice(value.Type(), 2, 2))

		for i := range value.Len() {
			setAll(value.Index(i))
		}
	case reflect.String:
		value.SetString("text")
	case reflect.Bool:
		value.SetBool(true)
	case reflect.Int64:
		value.SetInt(42)
	case reflect.Uint64:
		value.SetUint(43)
	case reflect.Float64:
		value.SetFloat(0.5)
	default:
		panic("a resource has a field of kind " + value.Kind().String())
	}
}

func fill(ctx context.Context, t *testing.T, st state.State) {
	t.Helper()

	for _, r := range specimens() {
		require.NoError(t, st.Create(ctx, r))
	}
}

// sample is one of the target's, for its history.
func sample(at time.Duration, cores float64) policy.Sample {
	return policy.Sample{
		At: at, CPU: policy.Counter{Total: cores * at.Seconds()}, TX: policy.Counter{Total: 1e6 * at.Seconds()},
		RX: policy.Counter{Total: 1e6 * at.Seconds()}, Allocation: policy.Counter{Unavailable: "not asked"},
	}
}
