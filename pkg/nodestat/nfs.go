// SPDX-License-Identifier: MPL-2.0

//go:build linux

package nodestat

import (
	"fmt"

	"github.com/prometheus/procfs"
)

// NFS is what the node's NFS mounts did, cumulative (/proc/<pid>/mountstats, net/sunrpc/stats.c).
type NFS struct {
	// Mounts of different file systems; bind mounts of one count once.
	Mounts int
	// ReadBytes and WriteBytes to and from the servers.
	ReadBytes, WriteBytes uint64
	// Operations that were answered, and the milliseconds from request to answer of all of them together.
	Operations, RoundTripMilliseconds uint64
}

// ReadNFS reads what the mounts did that the first process sees, from the procfs mounted at a path.
func ReadNFS(proc string) (NFS, error) {
	root, err := procfs.NewFS(proc)
	if err != nil {
		return NFS{}, fmt.Errorf("error opening procfs: %w", err)
	}

	first, err := root.Proc(1)
	if err != nil {
		return NFS{}, fmt.Errorf("error reading the first process: %w", err)
	}

	mounts, err := first.MountStats()
	if err != nil {
		return NFS{}, fmt.Errorf("error reading its mountstats: %w", err)
	}

	infos, err := first.MountInfo()
	if err != nil {
		return NFS{}, fmt.Errorf("error reading its mountinfo: %w", err)
	}

	devices := map[string]string{}

	for _, info := range infos {
		devices[info.MountPoint] = info.MajorMinorVer
	}

	return sumNFS(mounts, devices), nil
}

// sumNFS adds up the file systems' statistics. The kernel keeps one per file system and shows it at
// each of its mounts, of which kubelet makes many: the device number tells which are the same.
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
