// SPDX-License-Identifier: MPL-2.0

//go:build linux

package doctor

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// limits returns what limits a target, from its cgroup and the one of its pod. The ceiling is nil if the target has none. It
// returns false if cpu.max or memory.max cannot be read, which is not worth a check: without the memory controller there is
// no limit to set, and other checks report the rest.
func (d Doctor) limits(target *resources.TargetSpec, ceiling *resources.CeilingStatusSpec) (Limits, bool) {
	var l Limits

	paths := []string{target.Cgroup}
	if pod, ok := cgroup.PodOf(target.Cgroup); ok {
		paths = append(paths, pod)
	}

	for i, path := range paths {
		cpuMax, ok := d.value(path, "cpu.max")
		if !ok {
			return Limits{}, false
		}

		// What the guard wrote is no limit of the owner.
		if i == 0 && ceiling != nil && ceiling.Applied != "" && ceiling.ContainerID == target.ContainerID {
			cpuMax = ceiling.OwnerLimit
		}

		if cores := cgroup.Cores(cpuMax); cores > 0 && (l.Cores == 0 || cores < l.Cores) {
			l.Cores = cores
		}

		if _, ok := d.value(path, "memory.max"); !ok {
			return Limits{}, false
		}

		for _, name := range []string{"memory.max", "memory.high"} {
			if limit, ok := d.bytes(path, name); ok && (l.Memory == 0 || limit < l.Memory) {
				l.Memory = limit
			}
		}
	}

	if peak, ok := d.bytes(target.Cgroup, "memory.peak"); ok {
		l.Peak, l.Used = peak, peak-min(peak, d.reclaimable(target.Cgroup))
	}

	return l, true
}

// reclaimable returns the bytes of page cache that the kernel can drop: without a memory limit it grows as long as the node has
// memory. That of tmpfs cannot be dropped.
func (d Doctor) reclaimable(path string) uint64 {
	text, _ := d.value(path, "memory.stat")

	stat, err := cgroup.ParseMemoryStat([]byte(text))
	if err != nil {
		return 0
	}

	return stat.File - min(stat.File, stat.Shmem)
}

// bytes returns the number in a file of a cgroup, and false for max, 0 and a file that cannot be read.
func (d Doctor) bytes(path, name string) (uint64, bool) {
	text, _ := d.value(path, name)
	value, err := strconv.ParseUint(text, 10, 64)

	return value, err == nil && value > 0
}

// value returns the text of a file of a cgroup.
func (d Doctor) value(path, name string) (string, bool) {
	text, err := os.ReadFile(filepath.Join(d.Cgroup, path, name))

	return strings.TrimSpace(string(text)), err == nil
}
