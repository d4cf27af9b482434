// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce

import (
	"errors"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
)

// Restored is one cgroup whose owner's limit was restored, or could not be.
type Restored struct {
	Cgroup, Target string
	// Before and After are its cpu.max.
	Before, After string
	Err           error
}

// RestoreAll restores the owner's limit on every cgroup with a ceiling, without a daemon. The error names the cgroups in
// which no ceiling could be looked for.
func RestoreAll(node Node) ([]Restored, error) {
	paths, incomplete := node.Find()

	var all []Restored

	for _, path := range paths {
		ceiling, err := openOrphan(node, path)

		switch {
		case errors.Is(err, cgroup.ErrGone):
			continue
		case err != nil:
			all = append(all, Restored{Cgroup: path, Err: err})

			continue
		}

		one := Restored{Cgroup: path, Target: ceiling.target.ID}

		for _, action := range ceiling.Release(ActionRelease, "restore", boottime.Now()) {
			one.Before, one.After = action.Before, action.After
		}

		if one.Err = ceiling.err; ceiling.InForce() || one.After != "" {
			all = append(all, one)
		}

		ceiling.Close()
	}

	return all, incomplete
}
