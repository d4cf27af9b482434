package api_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/api"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// server is the API over a state with one throttled target.
type server struct {
	pki      *pki.PKI
	endpoint string
	socket   string
}

func newServer(t *testing.T) *server {
	t.Helper()

	ctx, cancel := context.WithCancel(t.Context())
	st := state.WrapCore(namespaced.NewState(inmem.Build))
	require.NoError(t, resources.Register(ctx, st))
	fill(ctx, t, st)

	authority, err := pki.New()
	require.NoError(t, err)

	dir := t.TempDir()
	files := config.TLS{CA: filepath.Join(dir, "ca"), Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}

	ca, cert, key, err := authority.ServerFiles("127.0.0.1")
	require.NoError(t, err)

	for name, content := range map[string]string{files.CA: ca, files.Cert: cert, files.Key: key} {
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	}

	tlsConfig, err := api.TLSFromFiles(files)
	require.NoError(t, err)

	// A free port: asked for, given back, used.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)

	s := &server{pki: authority, endpoint: listener.Addr().String(), socket: filepath.Join(dir, "run", "guard.sock")}
	require.NoError(t, listener.Close())

	var group errgroup.Group

	for _, opts := range []api.Options{{Socket: s.socket}, {Listen: s.endpoint, TLS: tlsConfig}} {
		group.Go(func() error { return api.Serve(ctx, st, opts, zaptest.NewLogger(t)) })
	}

	t.Cleanup(func() {
		cancel()
		assert.NoError(t, group.Wait())
	})

	return s
}

func fill(ctx context.Context, t *testing.T, st state.State) {
	t.Helper()

	const id = "spegel/spegel-a/registry"

	guard := resources.NewGuardStatus(resources.GuardStatusID)
	guard.TypedSpec().State, guard.TypedSpec().Mode = resources.StateThrottled, "enforce"

	stats := resources.NewTargetStats(id)
	stats.TypedSpec().CPU = resources.Reading{Value: 0.5, Provenance: resources.Measured}

	rule := resources.NewRuleStatus(id + "/SpegelHighCPU")
	rule.TypedSpec().State, rule.TypedSpec().TripsIn = "firing", time.Second

	ceiling := resources.NewCeilingStatus(id)
	ceiling.TypedSpec().State, ceiling.TypedSpec().Original = resources.CeilingApplied, "max 100000"

	for _, r := range []resource.Resource{guard, stats, rule, ceiling} {
		require.NoError(t, st.Create(ctx, r))
	}
}

func (s *server) client(t *testing.T, roles ...role.Role) *client.Client {
	t.Helper()

	clientContext, err := s.pki.ClientContext(s.endpoint, roles...)
	require.NoError(t, err)

	c, err := client.New(t.Context(), client.WithConfigContext(clientContext), client.WithGRPCDialOptions(
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true))))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })

	return c
}

// TestEveryMethodAgainstEveryRole goes through the table method by method.
func TestEveryMethodAgainstEveryRole(t *testing.T) {
	s := newServer(t)
	kind := resource.NewMetadata(resources.Namespace, resources.GuardStatusType, resources.GuardStatusID, resource.VersionUndefined)

	methods := map[string]struct {
		call    func(context.Context, *client.Client) error
		readers bool // or anyone
	}{
		"Get": {func(ctx context.Context, c *client.Client) error {
			_, err := c.COSI.Get(ctx, kind)

			return err
		}, true},
		"List": {func(ctx context.Context, c *client.Client) error {
			_, err := c.COSI.List(ctx, kind)

			return err
		}, true},
		"Watch": {func(ctx context.Context, c *client.Client) error {
			return c.COSI.WatchKind(ctx, kind, make(chan state.Event, 8))
		}, true},
		"Status": {func(ctx context.Context, c *client.Client) error {
			_, err := guardv1alpha1.NewGuardServiceClient(c.Conn()).Status(ctx, &emptypb.Empty{})

			return err
		}, true},
		"Version": {func(ctx context.Context, c *client.Client) error {
			_, err := c.Version(ctx)

			return err
		}, false},
		"Health": {func(ctx context.Context, c *client.Client) error {
			_, err := grpc_health_v1.NewHealthClient(c.Conn()).Check(ctx, &grpc_health_v1.HealthCheckRequest{})

			return err
		}, false},
	}

	roles := map[string][]role.Role{
		"reader": {role.Reader}, "operator": {role.Operator}, "admin": {role.Admin}, "etcd backup": {role.EtcdBackup},
		"impersonator": {role.Impersonator}, "none": nil,
	}
	mayRead := map[string]bool{"reader": true, "operator": true, "admin": true}

	for roleName, set := range roles {
		c := s.client(t, set...)

		for name, method := range methods {
			want := codes.OK

			if method.readers && !mayRead[roleName] || roleName == "none" {
				want = codes.PermissionDenied
			}

			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			err := method.call(ctx, c)

			cancel()
			assert.Equal(t, want, status.Code(err), "%s as %s: %v", name, roleName, err)
		}
	}
}

func TestAnUnknownMethodNeedsAdmin(t *testing.T) {
	s := newServer(t)

	// MachineService/Reboot is part of the registered service, and not of the guard.
	err := s.client(t, role.Operator).Reboot(t.Context())
	assert.Equal(t, codes.PermissionDenied, status.Code(err), "%v", err)

	err = s.client(t, role.Admin).Reboot(t.Context())
	assert.Equal(t, codes.Unimplemented, status.Code(err), "%v", err)
}

func TestNobodyWrites(t *testing.T) {
	s := newServer(t)
	c := s.client(t, role.Admin)

	assert.ErrorContains(t, c.COSI.Create(t.Context(), resources.NewTarget("x")), "read-only")
	assert.ErrorContains(t, c.COSI.Destroy(t.Context(), resources.NewGuardStatus(resources.GuardStatusID).Metadata()), "read-only")

	list, err := c.COSI.List(t.Context(), resources.NewTarget("").Metadata())
	require.NoError(t, err)
	assert.Empty(t, list.Items)
}

func TestUnixSocketIsForRootAlone(t *testing.T) {
	s := newServer(t)

	conn, err := grpc.NewClient("unix://"+s.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })

	response, err := guardv1alpha1.NewGuardServiceClient(conn).Status(t.Context(), &emptypb.Empty{}, grpc.WaitForReady(true))
	require.NoError(t, err)
	require.Len(t, response.GetMessages(), 1)

	message := response.GetMessages()[0]
	assert.Equal(t, resources.StateThrottled, message.GetState())
	require.Len(t, message.GetTargets(), 1)
	assert.Equal(t, "SpegelHighCPU", message.GetTargets()[0].GetRules()[0].GetName())
	assert.Equal(t, "max 100000", message.GetTargets()[0].GetCeiling().GetOriginal())
	assert.InDelta(t, 0.5, message.GetTargets()[0].GetCpuCores().GetValue(), 1e-9)

	info, err := os.Stat(s.socket)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestTCPWithoutTLSDoesNotExist(t *testing.T) {
	err := api.Serve(t.Context(), state.WrapCore(namespaced.NewState(inmem.Build)), api.Options{Listen: "127.0.0.1:0"}, zaptest.NewLogger(t))
	assert.ErrorContains(t, err, "needs TLS")
}
