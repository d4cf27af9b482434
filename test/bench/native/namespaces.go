// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/test/node"
)

// prepare makes the namespaces usable: its own procfs, a unified hierarchy where programs expect it, and the loopback. The
// mounts of the machine stay as they are.
func prepare() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("failed to make the mounts private: %w", err)
	}

	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("failed to mount procfs: %w", err)
	}

	if err := unix.Mount("cgroup2", node.CgroupRoot, "cgroup2", 0, ""); err != nil {
		return fmt.Errorf("failed to mount the unified hierarchy: %w", err)
	}

	return up("lo")
}

// up brings an interface of the thread's network namespace up.
func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("failed to find the interface %s: %w", name, err)
	}

	return netlink.LinkSetUp(link)
}

// removeCgroups removes empty cgroups, the innermost first.
func removeCgroups(paths ...string) error {
	var failed error

	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}

	return failed
}
