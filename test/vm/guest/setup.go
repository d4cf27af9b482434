// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/test/vm/kmod"
)

const cgroupRoot = "/sys/fs/cgroup"

// openPorts makes the second serial port the standard output: raw, so that every byte arrives as written.
func openPorts() error {
	port, err := os.OpenFile("/dev/ttyS1", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("failed to open the output port: %w", err)
	}

	attr, err := unix.IoctlGetTermios(int(port.Fd()), unix.TCGETS)
	if err != nil {
		return fmt.Errorf("failed to read the output port's settings: %w", err)
	}

	attr.Oflag &^= unix.OPOST
	attr.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
	attr.Cflag |= unix.CLOCAL

	if err := unix.IoctlSetTermios(int(port.Fd()), unix.TCSETS, attr); err != nil {
		return fmt.Errorf("failed to set the output port raw: %w", err)
	}

	os.Stdout = port

	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}

	return unix.Dup3(int(null.Fd()), 0, 0)
}

func loadModules(paths []string) error {
	for _, path := range paths {
		if err := kmod.Load(path); err != nil {
			return err
		}

		// The page cache of the initramfs is its storage: what is loaded need not stay.
		if err := os.Remove(path); err != nil {
			return err
		}
	}

	return nil
}

func setUpNetwork() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("failed to find the loopback link: %w", err)
	}

	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("failed to set the loopback link up: %w", err)
	}

	if err := unix.Sethostname([]byte("talos-vm-1")); err != nil {
		return err
	}

	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

// setUpCgroups turns the controllers on below the root and moves init out of it, because processes
// must not stay in an inner node of the unified hierarchy.
func setUpCgroups() error {
	leaf := filepath.Join(cgroupRoot, "init")

	if err := os.Mkdir(leaf, 0o755); err != nil {
		return err
	}

	if err := os.WriteFile(filepath.Join(leaf, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		return fmt.Errorf("failed to move init into its cgroup: %w", err)
	}

	available, err := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers"))
	if err != nil {
		return err
	}

	for _, controller := range []string{"cpu", "memory", "io", "pids"} {
		if !strings.Contains(" "+strings.TrimSpace(string(available))+" ", " "+controller+" ") {
			return fmt.Errorf("the guest's kernel offers no %s controller, only: %s", controller, available)
		}
	}

	if err := os.WriteFile(filepath.Join(cgroupRoot, "cgroup.subtree_control"), []byte("+cpu +memory +io +pids"), 0o644); err != nil {
		return err
	}

	return holdBandwidthKey()
}

// holdBandwidthKey gives an empty cgroup a quota, for good.
//
// The first quota of a machine makes the kernel patch its scheduler's code (the static key
// __cfs_bandwidth_used), and the last one that goes patches it back. QEMU's multi-threaded TCG can
// run the breakpoint of such a patch after it is gone ("Oops: int3"): with both processors busy, QEMU 10.0
// and 11.1 do so once in some 2,000 first and last quotas, and 7.2 (with 6.12) in less than 500. With one quota that never
// goes there is a single patch, now, while the machine is idle.
func holdBandwidthKey() error {
	dir := filepath.Join(cgroupRoot, "bandwidth-key")

	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}

	return os.WriteFile(filepath.Join(dir, "cpu.max"), []byte("100000 100000"), 0o644)
}
