// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package machined stands in for Talos' machined in tests. It serves the same API on a unix socket, admits the
// processes of extension services as v1.13.0 does, and takes their roles from the request's metadata.
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

// Machined is the stand-in. It serves from Start to Stop, as often as wanted.
type Machined struct {
	machineapi.UnimplementedMachineServiceServer

	// Socket it listens on.
	Socket string
	// State is what its COSI API serves, registered as Talos does.
	State state.State
	// Services whose processes are admitted. New sets ExtensionServices.
	Services Services
	// PIDTimeout is how long a call of an unknown process waits for its service to be listed. New sets PIDTimeout.
	PIDTimeout time.Duration

	mu         sync.Mutex
	containers []*machineapi.ContainerInfo
	asked      int
	server     *grpc.Server
	served     chan struct{}
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

	return &Machined{Socket: socket, State: st, Services: ExtensionServices, PIDTimeout: PIDTimeout}, nil
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

// Stop drops all connections and removes the socket. It returns when the socket is gone: a server that was stopped
// before it began to serve removes it later.
func (m *Machined) Stop() {
	m.server.Stop()
	<-m.served
}

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
