//go:build linux

package enforce

import (
	"errors"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
)

// Restored is one cgroup whose ceiling was taken back, or should have been.
type Restored struct {
	Cgroup, Target string
	// Before and After are its cpu.max.
	Before, After string
	Err           error
}

// RestoreAll takes back every ceiling on the node, whoever left it, without a daemon.
func RestoreAll(root string) ([]Restored, error) {
	if err := cgroup.CheckRoot(root); err != nil {
		return nil, err
	}

	paths, err := cgroup.FindJournals(root)
	if err != nil {
		return nil, err
	}

	var all []Restored

	for _, path := range paths {
		ceiling, err := openOrphan(Node{Host: host.Host{Cgroup: root}}, path)

		switch {
		case errors.Is(err, cgroup.ErrGone):
			continue
		case err != nil:
			all = append(all, Restored{Cgroup: path, Err: err})

			continue
		}

		one := Restored{Cgroup: path, Target: ceiling.id}

		for _, action := range ceiling.Release(resources.ActionRelease, "restore") {
			one.Before, one.After = action.Before, action.After
		}

		if one.Err = ceiling.err; ceiling.InForce() || one.After != "" {
			all = append(all, one)
		}

		ceiling.Close()
	}

	return all, nil
}
