// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

type mountPoint struct {
	source, target, fstype, data string
	flags                        uintptr
}

// mountAll mounts the file systems of a Talos node, with nsdelegate for cgroup2.
func mountAll() error {
	if err := moveRoot(); err != nil {
		return err
	}

	const noexec = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

	for _, m := range []mountPoint{
		{"devtmpfs", "/dev", "devtmpfs", "", unix.MS_NOSUID},
		{"devpts", "/dev/pts", "devpts", "ptmxmode=0666,mode=620,gid=5", unix.MS_NOSUID | unix.MS_NOEXEC},
		{"tmpfs", "/dev/shm", "tmpfs", "", unix.MS_NOSUID | unix.MS_NODEV},
		{"proc", "/proc", "proc", "", noexec},
		{"sysfs", "/sys", "sysfs", "", noexec},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2", "nsdelegate", noexec},
		{"bpf", "/sys/fs/bpf", "bpf", "", noexec},
		{"tmpfs", "/run", "tmpfs", "mode=0755", unix.MS_NOSUID | unix.MS_NODEV},
		{"tmpfs", "/tmp", "tmpfs", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
		{"tmpfs", "/var", "tmpfs", "mode=0755", unix.MS_NOSUID | unix.MS_NODEV},
	} {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}

		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
			return fmt.Errorf("failed to mount %s: %w", m.target, err)
		}
	}

	// All programs of the plan inherit this environment.
	for key, value := range map[string]string{"PATH": "/usr/bin:/opt/cni/bin", "HOME": "/root", "TMPDIR": "/tmp"} {
		if err := os.Setenv(key, value); err != nil {
			return err
		}
	}

	return os.MkdirAll("/var/lib", 0o755)
}

// moveRoot mounts the initial root over itself, because pivot_root(2), which runc uses, does not work on the initial ramfs. The
// new root is shared, as with systemd and machined, because mounts of containers propagate.
func moveRoot() error {
	const target = "/.root"

	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}

	if err := unix.Mount("/", target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("failed to bind the root: %w", err)
	}

	if err := os.Chdir(target); err != nil {
		return err
	}

	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("failed to move the root: %w", err)
	}

	if err := unix.Chroot("."); err != nil {
		return err
	}

	if err := os.Chdir("/"); err != nil {
		return err
	}

	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}
