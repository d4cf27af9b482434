// SPDX-License-Identifier: MPL-2.0

//go:build linux

package nodestat

import (
	"fmt"

	"github.com/prometheus/procfs"
)

// NFS has the cumulative counters of the node's NFS mounts (/proc/<pid>/mountstats, net/sunrpc/stats.c).
type NFS struct {
	// Mounts counts file systems. Bind mounts of one file system count once.
	Mounts int
	// ReadBytes and WriteBytes to and from the servers.
	ReadBytes, WriteBytes uint64
	// Operations that were answered, and the sum of their times from request to answer in milliseconds.
	Operations, RoundTripMilliseconds uint64
}

// ReadNFS reads the counters of the NFS mounts that process 1 sees, from the procfs mounted at proc.
func ReadNFS(proc string) (NFS, error) {
	root, err := procfs.NewFS(proc)
	if err != nil {
		return NFS{}, fmt.Errorf("failed to open procfs at %s: %w", proc, err)
	}

	first, err := root.Proc(1)
	if err != nil {
		return NFS{}, fmt.Errorf("failed to read process 1: %w", err)
	}

	mounts, err := first.MountStats()
	if err != nil {
		return NFS{}, fmt.Errorf("failed to read the mountstats of process 1: %w", err)
	}

	infos, err := first.MountInfo()
	if err != nil {
		return NFS{}, fmt.Errorf("failed to read the mountinfo of process 1: %w", err)
	}

	devices := map[string]string{}

	for _, info := range infos {
		devices[info.MountPoint] = info.MajorMinorVer
	}

	return sumNFS(mounts, devices), nil
}

// sumNFS sums the counters of the file systems. The kernel keeps them for each file system and shows them for each of its
// mounts, of which kubelet creates many. The device number identifies the file system.
func sumNFS(mounts []*procfs.Mount, devices map[string]string) NFS {
	var sum NFS

	seen := map[string]bool{}

	for _, mount := range mounts {
		stats, ok := mount.Stats.(*procfs.MountStatsNFS)
		if !ok {
			continue
		}

		device := devices[mount.Mount]
		if device == "" {
			device = mount.Device + " " + mount.Mount
		}

		if seen[device] {
			continue
		}

		seen[device] = true
		sum.Mounts++
		sum.ReadBytes += stats.Bytes.ReadTotal
		sum.WriteBytes += stats.Bytes.WriteTotal

		for _, operation := range stats.Operations {
			sum.Operations += operation.Requests
			sum.RoundTripMilliseconds += operation.CumulativeTotalResponseMilliseconds
		}
	}

	return sum
}
