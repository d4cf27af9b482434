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

// Talos' HostnameStatus (pkg/machinery/resources/network). The package itself would make the program a sixth larger.
const (
	statusType      = resource.Type("HostnameStatuses.net.talos.dev")
	statusNamespace = resource.Namespace("network")
	statusID        = resource.ID("hostname")
)

// status is the part of it that is read.
type status struct {
	Hostname   string `protobuf:"1"`
	Domainname string `protobuf:"2"`
}

// NodeName is the node's, as machined reported it last. Before its first answer, and for a nil NodeName, it is the
// hostname of the process.
type NodeName struct {
	reported atomic.Pointer[status]
}

// String returns the hostname without a domain, which is the kernel's hostname on Talos. It is empty when there
// is none.
func (n *NodeName) String() string { return n.current().Hostname }

// Is tells whether a name is the node's: its hostname or its FQDN, as apid decides.
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

// Run follows machined's answer until the context ends. While machined is away the last name stays. A retry of 0
// is the usual one.
func (n *NodeName) Run(ctx context.Context, socket string, retry time.Duration, logger *zap.Logger) error {
	return machined.Watch{
		Socket: socket, Retry: retry, Name: "hostname", Role: role.Reader,
		Resource: resource.NewMetadata(statusNamespace, statusType, statusID, resource.VersionUndefined),
		Changed: func(r resource.Resource) {
			reported, err := decode(r)
			if err != nil || reported.Hostname == "" {
				logger.Warn("machined's hostname cannot be read, the last one stays", zap.Error(err))

				return
			}

			if before := n.String(); before != reported.Hostname {
				logger.Info("hostname changed", zap.String("before", before), zap.String("after", reported.Hostname))
			}

			n.reported.Store(&reported)
		},
		// The certificates' condition reports an absent machined already.
		Failed: func(err error) { logger.Debug("hostname stays as it is", zap.Error(err)) },
	}.Run(ctx)
}

// decode reads the resource, whether or not the program has its Go type.
func decode(r resource.Resource) (status, error) {
	message, err := protobuf.FromResource(r)
	if err != nil {
		return status{}, fmt.Errorf("error encoding %s: %w", r.Metadata(), err)
	}

	wire, err := message.Marshal()
	if err != nil {
		return status{}, fmt.Errorf("error encoding %s: %w", r.Metadata(), err)
	}

	var decoded status

	if err := protoenc.Unmarshal(wire.GetSpec().GetProtoSpec(), &decoded); err != nil {
		return status{}, fmt.Errorf("error decoding %s: %w", r.Metadata(), err)
	}

	return decoded, nil
}
