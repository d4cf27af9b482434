// SPDX-License-Identifier: MPL-2.0

//go:build linux

package guard

import (
	"context"
	"time"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/api/common"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/doctor"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// Node is the node that is served.
type Node struct {
	// State holds the guard's resources.
	State state.State
	// Overrides are people's time-limited instructions.
	Overrides *override.Manager
	// Actions records captures.
	Actions *record.Actions
	// History has the last day of the targets and the node.
	History *record.History
	// Capture writes a target's evidence and returns its directory. The directory and the error are both set when only
	// a part was captured.
	Capture func(ctx context.Context, id string, target resources.TargetSpec) (string, error)
	// Name of the node; nil is the hostname of the process.
	Name *identity.NodeName
	// Doctor checks what the guard needs of its node.
	Doctor func(ctx context.Context) ([]doctor.Check, error)
	// Now is the clock of History; nil is boottime.Now.
	Now func() time.Duration
}

func (n Node) now() time.Duration {
	if n.Now == nil {
		return boottime.Now()
	}

	return n.Now()
}

// metadata names this node by its hostname, as machined does.
func (n Node) metadata() *common.Metadata {
	return &common.Metadata{Hostname: n.Name.String()}
}
