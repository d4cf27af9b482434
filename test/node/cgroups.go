// SPDX-License-Identifier: MPL-2.0

//go:build linux

package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// CgroupRoot is where the guest mounts the unified hierarchy.
const CgroupRoot = "/sys/fs/cgroup"

const controllers = "+cpu +memory +io +pids"

// createQoSCgroups creates the hierarchy that kubelet creates with the cgroupfs driver.
func createQoSCgroups() error {
	for _, dir := range []string{"kubepods", "kubepods/burstable", "kubepods/besteffort", "system", "system/extensions"} {
		if err := createInnerCgroup(dir); err != nil {
			return err
		}
	}

	return nil
}

// createInnerCgroup creates a cgroup whose children have all controllers.
func createInnerCgroup(path string) error {
	dir := filepath.Join(CgroupRoot, path)

	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}

	if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(controllers), 0o644); err != nil {
		return fmt.Errorf("failed to delegate controllers below %s: %w", path, err)
	}

	return nil
}

// CPUMax reads a cgroup's cpu.max as the kernel prints it.
func CPUMax(cgroup string) (string, error) {
	data, err := os.ReadFile(filepath.Join(CgroupRoot, cgroup, "cpu.max"))

	return strings.TrimSpace(string(data)), err
}

// SetCPUMax writes a cgroup's cpu.max, as its owner does.
func SetCPUMax(cgroup, value string) error {
	return os.WriteFile(filepath.Join(CgroupRoot, cgroup, "cpu.max"), []byte(value), 0)
}

// MakeCgroup creates the cgroups of a pod and of its container.
func MakeCgroup(pod, container string) error {
	if err := createInnerCgroup(pod); err != nil {
		return err
	}

	return os.MkdirAll(filepath.Join(CgroupRoot, container), 0o755)
}

// CPUStat reads one value of a cgroup's cpu.stat.
func CPUStat(cgroup, key string) (uint64, error) {
	stat, err := CPUStats(cgroup)
	if err != nil {
		return 0, err
	}

	value, ok := stat[key]
	if !ok {
		return 0, fmt.Errorf("%s: cpu.stat has no %s", cgroup, key)
	}

	return value, nil
}

// CPUStats reads a cgroup's cpu.stat in one read, so that the values are consistent.
func CPUStats(cgroup string) (map[string]uint64, error) {
	data, err := os.ReadFile(filepath.Join(CgroupRoot, cgroup, "cpu.stat"))
	if err != nil {
		return nil, err
	}

	stat := map[string]uint64{}

	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")

		if stat[name], err = strconv.ParseUint(value, 10, 64); err != nil {
			return nil, fmt.Errorf("%s: cpu.stat: %w", cgroup, err)
		}
	}

	return stat, nil
}

// MemoryPeak reads a cgroup's memory.peak in bytes.
func MemoryPeak(cgroup string) (uint64, error) {
	data, err := os.ReadFile(filepath.Join(CgroupRoot, cgroup, "memory.peak"))
	if err != nil {
		return 0, err
	}

	return strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
}

// AllCPUMax reads cpu.max of every cgroup on the node.
func AllCPUMax() (map[string]string, error) {
	all := map[string]string{}

	err := filepath.WalkDir(CgroupRoot, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) {
				return nil // removed meanwhile
			}

			return err
		}

		if !entry.IsDir() || path == CgroupRoot {
			return nil
		}

		cgroup := strings.TrimPrefix(path, CgroupRoot)

		value, err := CPUMax(cgroup)
		if os.IsNotExist(err) || errors.Is(err, unix.ENODEV) {
			return nil // removed before or after it was opened
		}

		all[cgroup] = value

		return err
	})

	return all, err
}
