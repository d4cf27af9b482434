// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package doctor checks what the guard needs from its node and says what to do about each problem. It only reads.
package doctor

import (
	"context"
	"time"

	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// Check is the result of one check. Its states are resources.CheckOK and the like.
type Check struct {
	Name, State, Message string
	// Fix says what to do; empty if there is nothing to do.
	Fix string
}

// Doctor runs the checks.
type Doctor struct {
	// Cgroup is the root of the unified cgroup hierarchy, SELinux the root of selinuxfs.
	Cgroup, SELinux string
	// CRI and Machined are unix sockets, Saved is the directory of saved state. Empty ones are not checked.
	CRI, Machined, Saved string
	// State holds the guard's resources.
	State state.State
	// Identities are the API's certificates; nil if it is served on the unix socket only.
	Identities *identity.Store
}

// Checks runs all checks, in the order in which later ones depend on earlier ones. It fails only if State does.
func (d Doctor) Checks(ctx context.Context) ([]Check, error) {
	checks := []Check{
		kernel(),
		d.cgroup(),
		socket(ctx, "cri", d.CRI, resources.CheckFailed, resources.Fix(resources.ReasonCRI)),
		socket(ctx, "machined", d.Machined, resources.CheckWarning,
			"mount /system/run/machined into the service; without it set api.tls.source to files or none, and targets are found by the CRI only"),
		d.savedState(),
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
