//go:build linux

package controllers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/spegel-guard/spegel-guard/internal/process"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/netns"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// inspect looks up in the kernel what a found container is there.
func inspect(paths Paths, container discover.Container) (resources.TargetSpec, error) {
	start, err := process.Start(paths.Proc, container.PID)
	if err != nil {
		return resources.TargetSpec{}, err
	}

	path, err := cgroupOf(paths, container.PID)
	if err != nil {
		return resources.TargetSpec{}, err
	}

	// The last line of defence against a wrong cgroup: both drivers of kubelet name it after the container.
	if !strings.Contains(filepath.Base(path), container.ID) {
		return resources.TargetSpec{}, fmt.Errorf("cgroup %s is not named after container %s", path, container.ID)
	}

	dir, err := cgroup.Open(paths.Cgroup, path)
	if err != nil {
		return resources.TargetSpec{}, err
	}

	defer dir.Close() //nolint:errcheck // read only

	own, err := netns.Inode(netnsPath(paths.Proc, container.PID))
	if err != nil {
		return resources.TargetSpec{}, err
	}

	host, err := netns.Inode(netnsPath(paths.Proc, 1))
	if err != nil {
		return resources.TargetSpec{}, err
	}

	started := container.Started
	if started.IsZero() {
		// It is for people alone: without it the target is guarded all the same.
		started, _ = processStarted(paths.Proc, container.PID)
	}

	// A pid that was given to another process between the questions has another start time.
	if again, err := process.Start(paths.Proc, container.PID); err != nil || again != start {
		return resources.TargetSpec{}, fmt.Errorf("process %d ended while it was looked at", container.PID)
	}

	return resources.TargetSpec{
		ContainerID: container.ID, PodUID: container.PodUID,
		PID: int64(container.PID), PIDStartTime: start,
		Cgroup: path, CgroupInode: dir.ID().Inode,
		NetNSInode: own, HostNetwork: own == host,
		Image: container.Image, Started: started.UTC(), Source: container.Source,
	}, nil
}

// processStarted returns when a process started, to the second.
func processStarted(proc string, pid int) (time.Time, error) {
	fs, err := procfs.NewFS(proc)
	if err != nil {
		return time.Time{}, err
	}

	p, err := fs.Proc(pid)
	if err != nil {
		return time.Time{}, err
	}

	stat, err := p.Stat()
	if err != nil {
		return time.Time{}, err
	}

	seconds, err := stat.StartTime()
	if err != nil {
		return time.Time{}, err
	}

	return time.Unix(int64(seconds), 0), nil
}

// alive tells whether the target's first process still runs.
func alive(paths Paths, spec resources.TargetSpec) bool {
	start, err := process.Start(paths.Proc, int(spec.PID))

	return err == nil && start == spec.PIDStartTime
}

// sameProcess reports whether two targets are one container with the same first process.
func sameProcess(a, b resources.TargetSpec) bool {
	return a.ContainerID == b.ContainerID && a.PID == b.PID && a.PIDStartTime == b.PIDStartTime
}

func netnsPath(proc string, pid int) string {
	return filepath.Join(proc, strconv.Itoa(pid), "ns", "net")
}

// openNamespace opens the target's network namespace.
func openNamespace(paths Paths, target resources.TargetSpec) (*netns.Namespace, error) {
	namespace, err := netns.Open(netnsPath(paths.Proc, int(target.PID)))
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
func cgroupOf(paths Paths, pid int) (string, error) {
	data, err := os.ReadFile(filepath.Join(paths.Proc, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return "", fmt.Errorf("error reading the cgroup of process %d: %w", pid, err)
	}

	procPath, err := cgroup.ParseProcCgroup(data)
	if err != nil {
		return "", fmt.Errorf("error reading the cgroup of process %d: %w", pid, err)
	}

	// Our own procfs: paths and mounts must be seen from the same cgroup namespace.
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("error reading the mounts: %w", err)
	}

	mountRoot, err := cgroup.ParseMountRoot(mountinfo, paths.Cgroup)
	if err != nil {
		return "", err
	}

	return cgroup.Resolve(mountRoot, procPath)
}
