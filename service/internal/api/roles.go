//go:build linux

package api

import (
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	// readers may read everything the guard serves.
	readers = role.MakeSet(role.Admin, role.Operator, role.Reader)
	// operators may tell it what to do.
	operators = role.MakeSet(role.Admin, role.Operator)
	// anyone has a certificate of an accepted CA with a role of Talos' in it, whichever.
	anyone = role.All
	// nobody writes resources: orders are the guard's own methods.
	nobody = role.Zero
	// admins are who may call what is not in the table, as with Talos.
	admins = role.MakeSet(role.Admin)
)

// methodRoles says who may call what.
var methodRoles = map[string]role.Set{
	"/cosi.resource.State/Get":   readers,
	"/cosi.resource.State/List":  readers,
	"/cosi.resource.State/Watch": readers,

	"/cosi.resource.State/Create":  nobody,
	"/cosi.resource.State/Update":  nobody,
	"/cosi.resource.State/Destroy": nobody,

	"/machine.MachineService/Version": anyone,

	"/spegelguard.v1alpha1.GuardService/History": readers,
	"/spegelguard.v1alpha1.GuardService/Doctor":  readers,

	"/spegelguard.v1alpha1.GuardService/Release":  operators,
	"/spegelguard.v1alpha1.GuardService/Throttle": operators,
	"/spegelguard.v1alpha1.GuardService/Pause":    operators,
	"/spegelguard.v1alpha1.GuardService/Resume":   operators,
	"/spegelguard.v1alpha1.GuardService/Capture":  operators,

	"/grpc.health.v1.Health/Check": anyone,
	"/grpc.health.v1.Health/List":  anyone,
	"/grpc.health.v1.Health/Watch": anyone,

	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      readers,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": readers,
}

// authorize checks a method against a caller's roles.
func authorize(caller caller, method string) error {
	needed, ok := methodRoles[method]
	if !ok {
		needed = admins
	}

	switch {
	case caller.roles.IncludesAny(needed):
		return nil
	case len(needed.Strings()) == 0:
		return status.Errorf(codes.PermissionDenied, "%s is not served: the guard's resources are read-only", method)
	}

	return status.Errorf(codes.PermissionDenied, "%s needs one of the roles %v, the caller has %v", method, needed.Strings(), caller.roles.Strings())
}
