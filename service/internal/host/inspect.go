// SPDX-License-Identifier: MPL-2.0

//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/mounts"
	"github.com/spegel-guard/spegel-guard/internal/process"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/netns"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Inspect reads from the kernel what identifies a discovered container: its process, cgroup and network namespace.
// It returns an error when the process ends meanwhile, or when its cgroup is not named after the container.
func (h Host) Inspect(container discover.Container) (resources.TargetSpec, error) {
	start, err := process.Start(h.Proc, container.PID)
	if err != nil {
		return resources.TargetSpec{}, err
	}

	path, err := h.cgroupOf(container.PID)
	if err != nil {
		return resources.TargetSpec{}, err
	}

	// The last line of defence against a wrong cgroup: both drivers of kubelet name it after the container.
	if !strings.Contains(filepath.Base(path), container.ID) {
		return resources.TargetSpec{}, fmt.Errorf("cgroup %s is not named after container %s", path, container.ID)
	}

	dir, err := cgroup.Open(h.Cgroup, path)
	if err != nil {
		return resources.TargetSpec{}, err
	}

	defer dir.Close() //nolint:errcheck // read only

	own, err := netns.Inode(netnsPath(h.Proc, container.PID))
	if err != nil {
		return resources.TargetSpec{}, err
	}

	host, err := netns.Inode(netnsPath(h.Proc, 1))
	if err != nil {
		return resources.TargetSpec{}, err
	}

	// A pid that was given to another process between the questions has another start time.
	if again, err := process.Start(h.Proc, container.PID); err != nil || again != start {
		return resources.TargetSpec{}, fmt.Errorf("process %d ended while it was looked at", container.PID)
	}

	spec := resources.TargetSpec{
		ContainerID: container.ID, PodUID: container.PodUID,
		PID: int64(container.PID), PIDStartTime: start,
		Cgroup: path, CgroupInode: dir.ID().Inode,
		NetNSInode: own, HostNetwork: own == host,
		Image: container.Image, StartedClock: process.SinceBoot(start), Source: container.Source,
	}

	resources.SetTimes(&spec, boottime.Wall)

	return spec, nil
}

// Alive reports whether the target's first process still runs.
func (h Host) Alive(spec resources.TargetSpec) bool {
	start, err := process.Start(h.Proc, int(spec.PID))

	return err == nil && start == spec.PIDStartTime
}

// errOutlived says that the end of a first process does not end the others of its container.
var errOutlived = errors.New("other processes of the container can outlive its first one: it does not lead a pid namespace")

// AwaitEnd waits until the processes of the target have ended, or the context ends. It returns nil in both cases, and an error if the
// end of the first one cannot be known. It does not use a pidfd: the service has a pid namespace of its own, in which the target has no
// pid.
func (h Host) AwaitEnd(ctx context.Context, spec resources.TargetSpec) error {
	switch leads, err := process.LeadsNamespace(h.Proc, int(spec.PID)); {
	case err != nil:
		return err
	case !leads:
		return errOutlived
	}

	dir, err := cgroup.Open(h.Cgroup, spec.Cgroup)
	if err != nil {
		return err
	}

	defer dir.Close() //nolint:errcheck // read only

	if dir.ID().Inode != spec.CgroupInode {
		return fmt.Errorf("cgroup %s: %w", spec.Cgroup, cgroup.ErrGone)
	}

	return dir.AwaitEmpty(ctx)
}

func netnsPath(proc string, pid int) string {
	return filepath.Join(proc, strconv.Itoa(pid), "ns", "net")
}

// OpenNamespace opens the target's network namespace. It returns an error when the namespace is not the one that
// Inspect read. The caller closes it.
func (h Host) OpenNamespace(target resources.TargetSpec) (*netns.Namespace, error) {
	namespace, err := netns.Open(netnsPath(h.Proc, int(target.PID)))
	if err != nil {
		return nil, err
	}

	// The process may have ended since: its pid's new owner has another network.
	if namespace.Inode() != target.NetNSInode {
		namespace.Close()

		return nil, errors.New("the process's network namespace is another one by now")
	}

	return namespace, nil
}

// cgroupOf reads a process's cgroup, relative to the mounted root.
func (h Host) cgroupOf(pid int) (string, error) {
	data, err := os.ReadFile(filepath.Join(h.Proc, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return "", fmt.Errorf("error reading the cgroup of process %d: %w", pid, err)
	}

	procPath, err := cgroup.ParseProcCgroup(data)
	if err != nil {
		return "", fmt.Errorf("error reading the cgroup of process %d: %w", pid, err)
	}

	// Our own procfs: paths and mounts must be seen from the same cgroup namespace.
	infos, unread := mounts.Info("/proc/self/mountinfo")

	mountRoot, err := cgroup.MountRoot(infos, h.Cgroup)
	if err != nil {
		return "", errors.Join(err, unread)
	}

	return cgroup.Resolve(mountRoot, procPath)
}
