//go:build linux

package api

import (
	"context"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/state"
	cosiserver "github.com/cosi-project/runtime/pkg/state/protobuf/server"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/doctor"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// Node is what is served.
type Node struct {
	// State holds the guard's resources.
	State state.State
	// Overrides are people's time-limited instructions.
	Overrides *override.Book
	// History has the targets' last hour.
	History *record.History
	// Capture keeps a target's evidence and returns the folder; when it got a part of it alone, both are set.
	Capture func(ctx context.Context, id string, target resources.TargetSpec) (string, error)
	// Name of the node; nil is the hostname of the process.
	Name *identity.NodeName
	// Doctor looks at what the guard needs of its node.
	Doctor func(ctx context.Context) ([]doctor.Check, error)
}

// register puts the services on a server.
func (n Node) register(s *grpc.Server) {
	readOnly := state.Filter(n.State, func(_ context.Context, access state.Access) error {
		if access.Verb.Readonly() {
			return nil
		}

		return status.Error(codes.PermissionDenied, "the guard's resources are read-only")
	})

	on := streams{Server: s}

	v1alpha1.RegisterStateServer(on, cosiserver.NewState(readOnly))
	machine.RegisterMachineServiceServer(on, &versionService{node: n})
	guardv1alpha1.RegisterGuardServiceServer(on, &guardService{node: n})
	grpc_health_v1.RegisterHealthServer(on, health.NewServer())
	reflection.Register(on)
}

// streams registers every method as a stream, which on the wire is the same. So there is one way in for all
// of them: one chain of checks, and a request that is forwarded to another node is never decoded.
type streams struct {
	*grpc.Server
}

// RegisterService implements grpc.ServiceRegistrar.
func (s streams) RegisterService(desc *grpc.ServiceDesc, service any) {
	all := *desc
	all.Methods, all.Streams = nil, append([]grpc.StreamDesc(nil), desc.Streams...)

	for _, method := range desc.Methods {
		all.Streams = append(all.Streams, grpc.StreamDesc{
			StreamName: method.MethodName,
			Handler: func(service any, stream grpc.ServerStream) error {
				response, err := method.Handler(service, stream.Context(), stream.RecvMsg, nil)
				if err != nil {
					return err
				}

				return stream.SendMsg(response)
			},
		})
	}

	s.Server.RegisterService(&all, service)
}
