// SPDX-License-Identifier: MPL-2.0

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

	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/api/encode"
	"github.com/spegel-guard/spegel-guard/service/internal/api/guard"
)

// register registers the services of a node.
func register(s *grpc.Server, node Node) {
	readOnly := state.Filter(node.State, func(_ context.Context, access state.Access) error {
		if access.Verb.Readonly() {
			return nil
		}

		return status.Error(codes.PermissionDenied, "the guard's resources are read-only")
	})

	on := streams{Server: s}

	v1alpha1.RegisterStateServer(on, cosiserver.NewState(encode.New(readOnly)))
	machine.RegisterMachineServiceServer(on, guard.NewVersionService(node, Version))
	guardv1alpha1.RegisterGuardServiceServer(on, guard.NewService(node))
	grpc_health_v1.RegisterHealthServer(on, health.NewServer())
	reflection.Register(on)
}

// streams registers every method as a stream, which is the same on the wire. All requests pass one interceptor, and a
// request that is forwarded is never decoded.
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
