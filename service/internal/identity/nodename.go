// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/protobuf"
	"github.com/siderolabs/protoenc"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/machined"
)

// Talos' HostnameStatus (pkg/machinery/resources/network). Importing the package would make the binary a sixth larger.
const (
	statusType      = resource.Type("HostnameStatuses.net.talos.dev")
	statusNamespace = resource.Namespace("network")
	statusID        = resource.ID("hostname")
)

// status has the fields of HostnameStatus that are read.
type status struct {
	Hostname   string `protobuf:"1"`
	Domainname string `protobuf:"2"`
}

// NodeName is the name of the node that machined reported last. Before its first report, and for a nil NodeName, it is
// the hostname of the process.
type NodeName struct {
	reported atomic.Pointer[status]
}

// String returns the hostname without a domain, which is the kernel's hostname on Talos; empty if there is none.
func (n *NodeName) String() string { return n.current().Hostname }

// Is reports whether a name is the node's hostname or its FQDN, by the rules of apid.
func (n *NodeName) Is(name string) bool {
	now := n.current()

	return now.Hostname != "" &&
		(strings.EqualFold(name, now.Hostname) || now.Domainname != "" && strings.EqualFold(name, now.Hostname+"."+now.Domainname))
}

func (n *NodeName) current() status {
	if n != nil {
		if reported := n.reported.Load(); reported != nil {
			return *reported
		}
	}

	hostname, err := os.Hostname()
	if err != nil {
		return status{}
	}

	return status{Hostname: hostname}
}

// Run follows machined's HostnameStatus until the context ends. The last name stays while machined is unreachable. A retry
// of 0 is two seconds.
func (n *NodeName) Run(ctx context.Context, socket string, retry time.Duration, logger *zap.Logger) error {
	return machined.Watch{
		Socket: socket, Retry: retry, Name: "hostname", Role: role.Reader,
		Resource: resource.NewMetadata(statusNamespace, statusType, statusID, resource.VersionUndefined),
		Changed: func(r resource.Resource) {
			reported, err := decode(r)
			if err != nil || reported.Hostname == "" {
				logger.Warn("failed to read machined's hostname, the last one stays", zap.Error(err))

				return
			}

			if before := n.String(); before != reported.Hostname {
				logger.Info("hostname changed", zap.String("before", before), zap.String("after", reported.Hostname))
			}

			n.reported.Store(&reported)
		},
		// The condition of the certificates reports an unreachable machined.
		Failed: func(err error) { logger.Debug("failed to follow the hostname, the last one stays", zap.Error(err)) },
	}.Run(ctx)
}

// decode decodes the resource, whether or not the binary has its Go type.
func decode(r resource.Resource) (status, error) {
	message, err := protobuf.FromResource(r)
	if err != nil {
		return status{}, fmt.Errorf("failed to encode %s: %w", r.Metadata(), err)
	}

	wire, err := message.Marshal()
	if err != nil {
		return status{}, fmt.Errorf("failed to encode %s: %w", r.Metadata(), err)
	}

	var decoded status

	if err := protoenc.Unmarshal(wire.GetSpec().GetProtoSpec(), &decoded); err != nil {
		return status{}, fmt.Errorf("failed to decode %s: %w", r.Metadata(), err)
	}

	return decoded, nil
}
