// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package doctor looks at what the guard needs of its node, and says how to mend what is not as it should be.
// It reads, and changes nothing.
package doctor

import (
	"context"
	"time"

	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// States of a check.
const (
	// OK: as it should be.
	OK = "ok"
	// Warning: the guard works, and something is missing.
	Warning = "warning"
	// Failed: the guard cannot do its work.
	Failed = "failed"
	// Skipped: not looked at, for the reason given.
	Skipped = "skipped"
)

// Check is what was found of one thing.
type Check struct {
	Name, State, Message string
	// Fix is what to do; empty when there is nothing.
	Fix string
}

// Doctor knows where to look.
type Doctor struct {
	// Cgroup is the root of the unified hierarchy, SELinux that of selinuxfs.
	Cgroup, SELinux string
	// CRI and Machined are sockets, Run the folder of what is remembered; empty is not used.
	CRI, Machined, Run string
	// State holds the guard's resources.
	State state.State
	// Identities are the API's certificates; nil when it is served over the unix socket alone.
	Identities *identity.Store
}

// dialTimeout is how long a socket may take to be answered on.
const dialTimeout = 2 * time.Second

// Checks looks at everything, what everything else depends on first.
func (d Doctor) Checks(ctx context.Context) ([]Check, error) {
	checks := []Check{
		kernel(),
		d.cgroup(),
		d.socket(ctx, "cri", d.CRI, Failed, "set the flag -cri to the container runtime's socket, and mount it into the service (extension/spegel-guard.yaml)"),
		d.socket(ctx, "machined", d.Machined, Warning,
			"mount /system/run/machined into the service; without it api.tls.source must be files or none, and targets come from the CRI alone"),
		d.remembering(),
		d.certificates(time.Now()),
	}

	conditions, err := d.conditions(ctx)
	if err != nil {
		return nil, err
	}

	targets, err := d.targets(ctx)
	if err != nil {
		return nil, err
	}

	return append(append(checks, conditions...), targets...), nil
}
