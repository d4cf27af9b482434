// SPDX-License-Identifier: MPL-2.0

package auth

import (
	"cmp"
	"path"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	// readers may read everything that the guard serves.
	readers = role.MakeSet(role.Admin, role.Operator, role.Reader)
	// operators may request overrides and evidence.
	operators = role.MakeSet(role.Admin, role.Operator)
	// anyone has a certificate of an accepted CA with any role of Talos.
	anyone = role.All
	// nobody writes resources: overrides have methods of their own.
	nobody = role.Zero
	// admins may call what is not in the table, as with Talos.
	admins = role.MakeSet(role.Admin)
)

// methodRoles are the roles of which a caller needs one, by method.
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

// Authorize checks the caller's roles for a method. The error has the code PermissionDenied.
func Authorize(caller Caller, method string) error {
	needed, ok := methodRoles[method]
	if !ok {
		needed = admins
	}

	switch {
	case caller.Roles.IncludesAny(needed):
		return nil
	case len(needed.Strings()) == 0:
		return status.Errorf(codes.PermissionDenied, "%.128s is not served: the guard's resources are read-only", method)
	}

	return status.Errorf(codes.PermissionDenied, "%.128s needs one of the roles %s, the client certificate has %s: an os:admin creates one with talosctl config new --roles %s",
		path.Base(method), strings.Join(needed.Strings(), ", "), cmp.Or(strings.Join(caller.Roles.Strings(), ", "), "none of them"), least(needed))
}

// least returns the role of the fewest rights.
func least(of role.Set) role.Role {
	for _, r := range []role.Role{role.Reader, role.Operator} {
		if of.Includes(r) {
			return r
		}
	}

	return role.Admin
}
