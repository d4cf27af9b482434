// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Command preinit is the first process of the Talos test node. It loads kernel modules, which Talos' kernel has built in and
// Debian's has not, and executes Talos' init.
package main

import (
	"bufio"
	"fmt"
	"os"
	"syscall"

	"github.com/spegel-guard/spegel-guard/test/talos/initramfs"
	"github.com/spegel-guard/spegel-guard/test/vm/kmod"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "preinit:", err)
		os.Exit(1) // the kernel panics, which ends the machine
	}
}

func run() error {
	list, err := os.Open(initramfs.ModuleList)
	if err != nil {
		return err
	}

	defer list.Close() //nolint:errcheck // only read

	lines := bufio.NewScanner(list)

	for lines.Scan() {
		if err := kmod.Load(lines.Text()); err != nil {
			return err
		}
	}

	if err := lines.Err(); err != nil {
		return err
	}

	// The module files would stay in memory below the root of Talos.
	if err := os.RemoveAll(initramfs.ModuleFolder); err != nil {
		return err
	}

	return syscall.Exec(initramfs.TalosInit, []string{"/init"}, os.Environ())
}
