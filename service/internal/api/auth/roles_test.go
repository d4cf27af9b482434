// SPDX-License-Identifier: MPL-2.0

//go:build linux

package auth_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/api"
	"github.com/spegel-guard/spegel-guard/service/internal/api/apitest"
	"github.com/spegel-guard/spegel-guard/service/internal/api/auth"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// Role that a method needs, independent of the table under test.
const (
	anyRole      = "any"
	readRole     = "read"
	overrideRole = "override"
	adminish     = "admin"
	never        = "never"
)

var needs = map[string]string{
	"/cosi.resource.State/Get":   readRole,
	"/cosi.resource.State/List":  readRole,
	"/cosi.resource.State/Watch": readRole,

	"/machine.MachineService/Version": anyRole,

	"/spegelguard.v1alpha1.GuardService/History":  readRole,
	"/spegelguard.v1alpha1.GuardService/Doctor":   readRole,
	"/spegelguard.v1alpha1.GuardService/Release":  overrideRole,
	"/spegelguard.v1alpha1.GuardService/Throttle": overrideRole,
	"/spegelguard.v1alpha1.GuardService/Pause":    overrideRole,
	"/spegelguard.v1alpha1.GuardService/Resume":   overrideRole,
	"/spegelguard.v1alpha1.GuardService/Capture":  overrideRole,

	"/grpc.health.v1.Health/Check": anyRole,
	"/grpc.health.v1.Health/List":  anyRole,
	"/grpc.health.v1.Health/Watch": anyRole,

	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      readRole,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": readRole,

	"/cosi.resource.State/Create":  never,
	"/cosi.resource.State/Update":  never,
	"/cosi.resource.State/Destroy": never,

	// Not in the table: a method of Talos' that the guard does not have, and nobody's.
	"/machine.MachineService/Reboot": adminish,
	"/no.such.Service/Method":        adminish,
}

// TestAuthorize_ChecksEveryMethodForEveryIdentity calls every method as everybody, over real TLS.
func TestAuthorize_ChecksEveryMethodForEveryIdentity(t *testing.T) {
	g := apitest.New(t, apitest.Options{})
	other := apitest.NewPKI(t)

	for method := range auth.MethodRoles {
		require.Contains(t, needs, method, "a method that is in the table and not in the test")
	}

	for _, method := range guardMethods() {
		require.Contains(t, needs, method, "a method of the guard's that is not in the test")
	}

	pair := func(authority *pki.PKI, valid time.Duration, roles ...role.Role) *pki.Pair {
		made, err := authority.Client("anna", valid, roles...)
		require.NoError(t, err)

		return made
	}

	server, err := g.PKI.Server("127.0.0.1")
	require.NoError(t, err)

	identities := []struct {
		name     string
		pair     *pki.Pair
		metadata []role.Role
		may      []string
		refused  bool // by the handshake
	}{
		{name: "no certificate", refused: true},
		{name: "other CA", pair: pair(other, time.Hour, role.Admin), refused: true},
		{name: "expired", pair: pair(g.PKI, -time.Minute, role.Admin), refused: true},
		{name: "a server's certificate", pair: server, refused: true},
		{name: "no role", pair: pair(g.PKI, time.Hour)},
		{name: "a role that is none of Talos'", pair: pair(g.PKI, time.Hour, "acme")},
		{name: "os:reader", pair: pair(g.PKI, time.Hour, role.Reader), may: []string{anyRole, readRole}},
		{name: "os:operator", pair: pair(g.PKI, time.Hour, role.Operator), may: []string{anyRole, readRole, overrideRole}},
		{name: "os:admin", pair: pair(g.PKI, time.Hour, role.Admin), may: []string{anyRole, readRole, overrideRole, adminish}},
		{name: "os:etcd:backup", pair: pair(g.PKI, time.Hour, role.EtcdBackup), may: []string{anyRole}},
		{name: "impersonator without metadata", pair: pair(g.PKI, time.Hour, role.Impersonator), may: []string{anyRole}},
		{
			name: "impersonator for os:reader", pair: pair(g.PKI, time.Hour, role.Impersonator),
			metadata: []role.Role{role.Reader}, may: []string{anyRole, readRole},
		},
		{
			name: "impersonator for os:operator", pair: pair(g.PKI, time.Hour, role.Impersonator),
			metadata: []role.Role{role.Operator}, may: []string{anyRole, readRole, overrideRole},
		},
		{
			name: "impersonator for os:admin", pair: pair(g.PKI, time.Hour, role.Impersonator),
			metadata: []role.Role{role.Admin}, may: []string{anyRole, readRole, overrideRole, adminish},
		},
		{
			name: "impersonator for nobody of Talos'", pair: pair(g.PKI, time.Hour, role.Impersonator),
			metadata: []role.Role{"acme"},
		},
		{
			name: "os:reader with the metadata of os:admin", pair: pair(g.PKI, time.Hour, role.Reader),
			metadata: []role.Role{role.Admin}, may: []string{anyRole, readRole},
		},
	}

	for _, identity := range identities {
		t.Run(identity.name, func(t *testing.T) {
			cfg, err := pki.ClientTLS(identity.pair, g.PKI)
			require.NoError(t, err)

			conn, err := grpc.NewClient(g.Endpoint, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
			require.NoError(t, err)

			for method, needed := range needs {
				code := status.Code(call(t, conn, method, identity.metadata...))

				switch {
				case identity.refused:
					assert.Equal(t, codes.Unavailable, code, method)
				case slices.Contains(identity.may, needed):
					assert.NotContains(t, []codes.Code{codes.PermissionDenied, codes.Unauthenticated, codes.Unavailable, codes.Internal, codes.Unknown}, code, method)
				default:
					assert.Equal(t, codes.PermissionDenied, code, method)
				}
			}

			require.NoError(t, conn.Close())
		})
	}

	t.Logf("%d methods x %d identities", len(needs), len(identities))
}

// call makes an empty request and reads the first answer.
func call(t *testing.T, conn *grpc.ClientConn, method string, impersonated ...role.Role) error {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), apitest.Patience)
	defer cancel()

	for _, role := range impersonated {
		ctx = metadata.AppendToOutgoingContext(ctx, constants.APIAuthzRoleMetadataKey, string(role))
	}

	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method, grpc.ForceCodecV2(proxy.Codec()))
	if err != nil {
		return err
	}

	// What cannot be sent has been answered already.
	_ = stream.SendMsg(proxy.NewFrame(nil))
	_ = stream.CloseSend()

	frame := proxy.NewFrame(nil)
	err = stream.RecvMsg(frame)

	if errors.Is(err, io.EOF) {
		return nil
	}

	return err
}

// guardMethods are all methods of the guard's own service.
func guardMethods() []string {
	var names []string

	desc := guardv1alpha1.GuardService_ServiceDesc

	for _, method := range desc.Methods {
		names = append(names, "/"+desc.ServiceName+"/"+method.MethodName)
	}

	for _, stream := range desc.Streams {
		names = append(names, "/"+desc.ServiceName+"/"+stream.StreamName)
	}

	return names
}

func TestUnix_IdentifiesRoot(t *testing.T) {
	g := apitest.New(t, apitest.Options{})

	conn, err := grpc.NewClient("unix://"+g.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })

	// The socket is for root, whose role is os:admin.
	response, err := guardv1alpha1.NewGuardServiceClient(conn).Pause(
		t.Context(), &guardv1alpha1.PauseRequest{For: durationpb.New(time.Minute)}, grpc.WaitForReady(true))
	require.NoError(t, err)
	require.Len(t, response.GetMessages(), 1)

	by := response.GetMessages()[0].GetOverrides()[0].GetBy()
	assert.Equal(t, fmt.Sprintf("uid %d", os.Getuid()), by.GetSubject())
	assert.Equal(t, fmt.Sprintf("the node's unix socket, pid %d", os.Getpid()), by.GetFrom())

	info, err := os.Stat(g.Socket)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestServe_RefusesTCPWithoutTLS(t *testing.T) {
	err := api.Serve(t.Context(), api.Node{}, api.Options{Listen: "127.0.0.1:0"}, nil)
	assert.ErrorContains(t, err, "needs TLS")
}

func TestTLS_Needs13(t *testing.T) {
	g := apitest.New(t, apitest.Options{})

	_, err := g.Client(t, role.Reader).Version(t.Context())
	require.NoError(t, err)

	cfg, err := g.PKI.ClientTLS("old", role.Reader)
	require.NoError(t, err)

	for version, works := range map[uint16]bool{tls.VersionTLS12: false, tls.VersionTLS13: true} {
		cfg.MinVersion, cfg.MaxVersion = version, version

		conn, err := tls.Dial("tcp", g.Endpoint, cfg)
		if assert.Equal(t, works, err == nil, "%v", err) && works {
			assert.Equal(t, "h2", conn.ConnectionState().NegotiatedProtocol)
			assert.NoError(t, conn.Close())
		}
	}
}
