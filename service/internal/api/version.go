// SPDX-License-Identifier: MPL-2.0

package api

import (
	"context"
	"runtime"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	talosversion "github.com/siderolabs/talos/pkg/machinery/version"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Version of the guard, stamped in by the linker.
var Version = "v0.0.0-dev"

// versionService answers the one call of Talos' machine API that talosctl makes before any other.
//
// The tag is the Talos API version the guard speaks, because that is what talosctl compares with its
// own (and warns about when it is older); the guard's own version is the platform's name.
type versionService struct {
	machine.UnimplementedMachineServiceServer

	node Node
}

// Version implements machine.MachineServiceServer.
func (v *versionService) Version(context.Context, *emptypb.Empty) (*machine.VersionResponse, error) {
	return &machine.VersionResponse{Messages: []*machine.Version{{
		Metadata: v.node.metadata(),
		Version: &machine.VersionInfo{
			Tag:       talosversion.Tag,
			GoVersion: runtime.Version(),
			Os:        runtime.GOOS,
			Arch:      runtime.GOARCH,
		},
		Platform: &machine.PlatformInfo{Name: "spegel-guard " + Version, Mode: "container"},
	}}}, nil
}
