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

// openPorts makes the second serial port the standard output, in raw mode so that bytes are not changed.
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

		// The initramfs is memory, which the module's file need not use after it is loaded.
		if err := os.Remove(path); err != nil {
			return err
		}
	}

	return nil
}

// quietKernel stops messages of the kernel below a warning, because printing them delays programs.
func quietKernel() error {
	return os.WriteFile("/proc/sys/kernel/printk", []byte("5"), 0o644)
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

// setUpCgroups enables the controllers below the root and moves init to a leaf, because an inner node of the unified hierarchy
// must not have processes.
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
			return fmt.Errorf("the guest's kernel has no %s controller, only %s", controller, available)
		}
	}

	if err := os.WriteFile(filepath.Join(cgroupRoot, "cgroup.subtree_control"), []byte("+cpu +memory +io +pids"), 0o644); err != nil {
		return err
	}

	return holdBandwidthKey()
}

// holdBandwidthKey sets a quota for an empty cgroup that is never removed.
//
// The first quota of a machine makes the kernel patch its scheduler (static key __cfs_bandwidth_used), and the removal of the
// last one reverts the patch. QEMU's multi-threaded TCG may run the breakpoint of such a patch after the kernel has removed it
// ("Oops: int3"): with both CPUs busy once in about 2,000 first and last quotas with QEMU 10.0 and 11.1, and in less than 500
// with 7.2 (and kernel 6.12). With this quota there is only one patch, while the machine is idle.
func holdBandwidthKey() error {
	dir := filepath.Join(cgroupRoot, "bandwidth-key")

	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}

	return os.WriteFile(filepath.Join(dir, "cpu.max"), []byte("100000 100000"), 0o644)
}
