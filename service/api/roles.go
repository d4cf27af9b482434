// Package api serves the guard's state over gRPC the way Talos serves its own.
package api

import (
	"context"
	"crypto/x509"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// readers may read everything the guard serves.
var readers = role.MakeSet(role.Admin, role.Operator, role.Reader)

// anyone has a certificate of the accepted CA; the roles in it do not matter.
var anyone = role.All

// methodRoles says who may call what. A method that is not here needs os:admin, as with Talos.
var methodRoles = map[string]role.Set{
	"/cosi.resource.State/Get":   readers,
	"/cosi.resource.State/List":  readers,
	"/cosi.resource.State/Watch": readers,

	"/machine.MachineService/Version": anyone,

	"/spegelguard.v1alpha1.GuardService/Status": readers,

	"/grpc.health.v1.Health/Check": anyone,
	"/grpc.health.v1.Health/List":  anyone,
	"/grpc.health.v1.Health/Watch": anyone,

	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      readers,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": readers,
}

var admins = role.MakeSet(role.Admin)

// authorize checks a method against the roles in the client's certificate. Like Talos, the roles are
// the certificate's organizations (pkg/machinery/role).
func authorize(ctx context.Context, method string) error {
	certificate := clientCertificate(ctx)
	if certificate == nil {
		return status.Error(codes.Unauthenticated, "no verified client certificate")
	}

	needed, ok := methodRoles[method]
	if !ok {
		needed = admins
	}

	roles, _ := role.Parse(certificate.Subject.Organization)

	if !roles.IncludesAny(needed) {
		return status.Errorf(codes.PermissionDenied, "%s needs one of the roles %v, the certificate has %v", method, needed.Strings(), roles.Strings())
	}

	return nil
}

func clientCertificate(ctx context.Context) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}

	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 || len(info.State.VerifiedChains[0]) == 0 {
		return nil
	}

	return info.State.VerifiedChains[0][0]
}

func authorizeUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := authorize(ctx, info.FullMethod); err != nil {
		return nil, err
	}

	return handler(ctx, req)
}

func authorizeStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := authorize(stream.Context(), info.FullMethod); err != nil {
		return err
	}

	return handler(srv, stream)
}
