// SPDX-License-Identifier: MPL-2.0

//go:build linux

package guard

import (
	"context"
	"runtime"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/spegel-guard/spegel-guard/internal/talos"
)

// VersionService implements the one call of Talos' machine API that talosctl makes before any other.
//
// The tag is the version of the Talos API that the guard implements: talosctl compares it with its own and warns when
// it is older. The guard's version is in the platform's name.
type VersionService struct {
	machine.UnimplementedMachineServiceServer

	node    Node
	version string
}

// NewVersionService returns the service of a node with the guard's version.
func NewVersionService(node Node, version string) *VersionService {
	return &VersionService{node: node, version: version}
}

// Version implements machine.MachineServiceServer.
func (v *VersionService) Version(context.Context, *emptypb.Empty) (*machine.VersionResponse, error) {
	return &machine.VersionResponse{Messages: []*machine.Version{{
		Metadata: v.node.metadata(),
		Version: &machine.VersionInfo{
			Tag:       talos.Version,
			GoVersion: runtime.Version(),
			Os:        runtime.GOOS,
			Arch:      runtime.GOARCH,
		},
		Platform: &machine.PlatformInfo{Name: "spegel-guard " + v.version, Mode: "container"},
	}}}, nil
}
