// SPDX-License-Identifier: MPL-2.0

//go:build linux

package doctor

import (
	"fmt"

	"github.com/containerd/cgroups/v3/cgroup2"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// crossCheck compares the guard's reader of cpu.stat with containerd's on the same cgroup. It returns false when one of them
// cannot read it, which other checks report.
func crossCheck(root, id, path string) (Check, bool) {
	dir, err := cgroup.Open(root, path)
	if err != nil {
		return Check{}, false
	}

	defer dir.Close() //nolint:errcheck // read only

	reader, err := dir.NewReader()
	if err != nil {
		return Check{}, false
	}

	defer reader.Close() //nolint:errcheck // read only

	manager, err := cgroup2.Load("/"+path, cgroup2.WithMountpoint(root))
	if err != nil {
		return Check{}, false
	}

	return compareReaders(id, reader.CPUStat, func() (uint64, error) {
		stats, err := manager.StatFiltered(cgroup2.StatCPU)

		return stats.GetCPU().GetUsageUsec(), err
	})
}

// compareReaders reads the CPU usage with the guard's reader, with another one and with the guard's again. The usage of the
// other one must be in between.
func compareReaders(id string, own func() (cgroup.CPUStat, error), other func() (uint64, error)) (Check, bool) {
	before, beforeErr := own()
	usage, err := other()
	after, afterErr := own()

	if beforeErr != nil || err != nil || afterErr != nil {
		return Check{}, false
	}

	check := Check{Name: "cpu.stat", State: resources.CheckOK, Message: id + ": read as containerd reads it"}

	if usage < before.UsageUsec || usage > after.UsageUsec {
		check.State = resources.CheckFailed
		check.Message = fmt.Sprintf("%s: containerd reads usage_usec %d, the guard %d before and %d after", id, usage, before.UsageUsec, after.UsageUsec)
		check.Fix = "report it with spegelguardctl support: the guard misreads this kernel's cpu.stat"
	}

	return check, true
}
