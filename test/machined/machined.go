//go:build linux

// Package machined stands in for Talos' machined in tests: the same services on a unix socket, which
// tells its clients by their credentials and takes their roles from the request's metadata.
package machined

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/cosi-project/runtime/pkg/state/protobuf/server"
	"github.com/cosi-project/runtime/pkg/state/registry"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	machineapi "github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/peercred"
)

// Machined is the stand-in. It serves from Start to Stop, as often as wanted.
type Machined struct {
	machineapi.UnimplementedMachineServiceServer

	// Socket it listens on.
	Socket string
	// State is what its COSI API serves, registered as Talos does.
	State state.State
	// UID whose processes are admitted; Talos admits root's.
	UID uint32

	mu         sync.Mutex
	containers []*machineapi.ContainerInfo
	asked      int
	server     *grpc.Server
}

// New returns a machined with the given resource types.
func New(ctx context.Context, socket string, types ...meta.ResourceWithRD) (*Machined, error) {
	st := state.WrapCore(namespaced.NewState(inmem.Build))

	namespaces := registry.NewNamespaceRegistry(st)
	resources := registry.NewResourceRegistry(st)

	if err := errors.Join(namespaces.RegisterDefault(ctx), resources.RegisterDefault(ctx)); err != nil {
		return nil, err
	}

	for _, r := range types {
		if err := resources.Register(ctx, r); err != nil {
			return nil, err
		}
	}

	return &Machined{Socket: socket, State: st}, nil
}

// Set replaces the containers that are answered.
func (m *Machined) Set(containers ...*machineapi.ContainerInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()

	m.containers = containers
}

// Asked is how often the containers were asked for.
func (m *Machined) Asked() int {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.asked
}

// Start listens and serves.
func (m *Machined) Start() error {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", m.Socket)
	if err != nil {
		return fmt.Errorf("error listening: %w", err)
	}

	m.server = grpc.NewServer(
		grpc.Creds(peerCredentials{}), grpc.UnaryInterceptor(m.authorize), grpc.StreamInterceptor(m.authorizeStream),
	)
	machineapi.RegisterMachineServiceServer(m.server, m)
	v1alpha1.RegisterStateServer(m.server, server.NewState(state.WrapCore(state.Filter(m.State, m.allowed))))

	go m.server.Serve(listener) //nolint:errcheck // Stop ends it

	return nil
}

// Stop drops all connections and removes the socket.
func (m *Machined) Stop() { m.server.Stop() }

// Containers implements machineapi.MachineServiceServer.
func (m *Machined) Containers(_ context.Context, request *machineapi.ContainersRequest) (*machineapi.ContainersResponse, error) {
	if request.GetNamespace() != constants.K8sContainerdNamespace || request.GetDriver() != common.ContainerDriver_CRI {
		return nil, status.Error(codes.InvalidArgument, "only Kubernetes' containers are there")
	}

	m.mu.Lock()
	defer m.mu.Unlock()

	m.asked++

	return &machineapi.ContainersResponse{Messages: []*machineapi.Container{{Containers: m.containers}}}, nil
}

// authorize admits by the peer's user, then by its roles.
func (m *Machined) authorize(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := m.admit(ctx, info.FullMethod); err != nil {
		return nil, err
	}

	return handler(ctx, request)
}

func (m *Machined) authorizeStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := m.admit(stream.Context(), info.FullMethod); err != nil {
		return err
	}

	return handler(srv, stream)
}

func (m *Machined) admit(ctx context.Context, method string) error {
	p, _ := peer.FromContext(ctx)

	if cred, ok := p.AuthInfo.(peerInfo); !ok || cred.Uid != m.UID {
		return status.Error(codes.PermissionDenied, "not authorized: the peer's user is not admitted")
	}

	if !rolesOf(ctx).IncludesAny(role.MakeSet(role.Reader, role.Operator, role.Admin)) {
		return status.Errorf(codes.PermissionDenied, "not authorized: %s needs a role", method)
	}

	return nil
}

// allowed is the COSI API's own rule: what is sensitive is for administrators, and nothing is written.
func (m *Machined) allowed(ctx context.Context, access state.Access) error {
	if !access.Verb.Readonly() {
		return status.Error(codes.PermissionDenied, "not authorized: writing")
	}

	list, err := m.State.List(context.WithoutCancel(ctx), resource.NewMetadata(meta.NamespaceName, meta.ResourceDefinitionType, "", resource.VersionUndefined))
	if err != nil {
		return err
	}

	for _, item := range list.Items {
		definition, ok := item.Spec().(*meta.ResourceDefinitionSpec)

		if ok && definition.Type == access.ResourceType && definition.Sensitivity == meta.Sensitive && !rolesOf(ctx).Includes(role.Admin) {
			return status.Error(codes.PermissionDenied, "not authorized: the resource is sensitive")
		}
	}

	return nil
}

func rolesOf(ctx context.Context) role.Set {
	md, _ := metadata.FromIncomingContext(ctx)
	roles, _ := role.Parse(md.Get(constants.APIAuthzRoleMetadataKey))

	return roles
}

// peerCredentials tells who is at the other end of a unix socket (SO_PEERCRED, unix(7)).
type peerCredentials struct{}

type peerInfo struct {
	credentials.CommonAuthInfo
	unix.Ucred
}

func (peerInfo) AuthType() string { return "peer" }

func (peerCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	cred, err := peercred.Of(conn)

	return conn, peerInfo{Ucred: cred}, err
}

func (peerCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("for servers alone")
}

func (peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "peer"}
}

func (c peerCredentials) Clone() credentials.TransportCredentials { return c }

func (peerCredentials) OverrideServerName(string) error { return nil }
