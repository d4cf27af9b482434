// SPDX-License-Identifier: MPL-2.0

//go:build linux

package nodestat

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spegel-guard/spegel-guard/internal/mounts"
	"github.com/spegel-guard/spegel-guard/internal/regular"
)

// NFS has the cumulative counters of the node's NFS mounts (/proc/<pid>/mountstats, net/sunrpc/stats.c).
type NFS struct {
	// FileSystems that are counted, sorted. Bind mounts of one file system count once.
	FileSystems []string
	// ReadBytes and WriteBytes to and from the servers.
	ReadBytes, WriteBytes uint64
	// Operations that were answered, and the sum of their times from request to answer in milliseconds.
	Operations, RoundTripMilliseconds uint64
	// Incomplete names the mounts that could not be read and are not counted; nil when there is none.
	Incomplete error
}

// ReadNFS reads the counters of the NFS mounts that process 1 sees, from the procfs mounted at proc. A mount that cannot be read
// is no error, see NFS.Incomplete.
func ReadNFS(proc string) (NFS, error) {
	first := filepath.Join(proc, "1")

	file, _, err := regular.Open(filepath.Join(first, "mountstats"), os.O_RDONLY, 0)
	if err != nil {
		return NFS{}, fmt.Errorf("failed to read the statistics of mounts: %w", err)
	}

	defer file.Close() //nolint:errcheck // read only

	var skipped mounts.Skipped

	found := parseMountStats(file, &skipped)
	if len(found) == 0 {
		return NFS{Incomplete: skipped.Err()}, nil
	}

	infos, err := mounts.Info(filepath.Join(first, "mountinfo"))
	skipped.Add(err)

	devices := map[string]string{}
	for _, info := range infos {
		devices[info.Point] = info.Device
	}

	nfs := sumNFS(found, devices)
	nfs.Incomplete = skipped.Err()

	return nfs, nil
}

// sumNFS sums the counters of the file systems. The kernel keeps them for each file system and shows them for each of its
// mounts, of which kubelet creates many. The device number identifies the file system.
func sumNFS(found []nfsMount, devices map[string]string) NFS {
	var sum NFS

	for _, mount := range found {
		device := devices[mount.point]
		if device == "" {
			device = mount.source + " " + mount.point
		}

		if slices.Contains(sum.FileSystems, device) {
			continue
		}

		sum.FileSystems = append(sum.FileSystems, device)
		sum.ReadBytes += mount.readBytes
		sum.WriteBytes += mount.writeBytes
		sum.Operations += mount.operations
		sum.RoundTripMilliseconds += mount.roundTripMilliseconds
	}

	slices.Sort(sum.FileSystems)

	return sum
}
