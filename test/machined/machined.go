// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package machined is a fake of Talos' machined for tests. It serves the same API on a unix socket, authorizes processes of
// extension services as v1.13.0 does, and reads their roles from the metadata of the request.
package machined

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

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
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Machined is the fake. It serves between Start and Stop, and can be started again.
type Machined struct {
	machineapi.UnimplementedMachineServiceServer

	// Socket is the path of its unix socket.
	Socket string
	// State is the state that its COSI API serves, with types registered as in Talos.
	State state.State
	// Services lists the services whose processes may call. New sets ExtensionServices.
	Services Services
	// PIDTimeout is the time that a call of an unknown process waits for its service. New sets the constant PIDTimeout.
	PIDTimeout time.Duration

	mu         sync.Mutex
	containers []*machineapi.ContainerInfo
	asked      int
	server     *grpc.Server
	served     chan struct{}
}

// New returns a machined with resource types.
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

	return &Machined{Socket: socket, State: st, Services: ExtensionServices, PIDTimeout: PIDTimeout}, nil
}

// Set replaces the containers of the answer.
func (m *Machined) Set(containers ...*machineapi.ContainerInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()

	m.containers = containers
}

// Asked returns the number of requests for containers.
func (m *Machined) Asked() int {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.asked
}

// Start starts to serve.
func (m *Machined) Start() error {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", m.Socket)
	if err != nil {
		return fmt.Errorf("failed to listen: %w", err)
	}

	m.server = grpc.NewServer(
		grpc.Creds(peerCredentials{}), grpc.UnaryInterceptor(m.authorize), grpc.StreamInterceptor(m.authorizeStream),
	)
	machineapi.RegisterMachineServiceServer(m.server, m)
	v1alpha1.RegisterStateServer(m.server, server.NewState(state.WrapCore(state.Filter(m.State, m.allowed))))

	m.served = make(chan struct{})

	go func(server *grpc.Server, served chan<- struct{}) {
		defer close(served)

		server.Serve(listener) //nolint:errcheck // Stop ends it
	}(m.server, m.served)

	return nil
}

// Stop closes all connections and removes the socket. It waits until the socket is gone, because a server that was stopped
// before it served removes it later.
func (m *Machined) Stop() {
	m.server.Stop()
	<-m.served
}

// Containers implements machineapi.MachineServiceServer.
func (m *Machined) Containers(_ context.Context, request *machineapi.ContainersRequest) (*machineapi.ContainersResponse, error) {
	if request.GetNamespace() != constants.K8sContainerdNamespace || request.GetDriver() != common.ContainerDriver_CRI {
		return nil, status.Error(codes.InvalidArgument, "only containers of Kubernetes are supported")
	}

	m.mu.Lock()
	defer m.mu.Unlock()

	m.asked++

	return &machineapi.ContainersResponse{Messages: []*machineapi.Container{{Containers: m.containers}}}, nil
}

// allowed is the access rule of the COSI API: sensitive resources are for administrators, and writing is denied.
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
