//go:build linux

// Command preinit is the first process of the Talos test node: it loads the kernel's modules and becomes Talos'
// own init. Talos' kernel has them built in; Debian's does not.
package main

import (
	"bufio"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Paths in the initramfs; the image puts the files there.
const (
	moduleList = "/modules/load"
	talosInit  = "/talos-init"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "preinit:", err)
		os.Exit(1) // the kernel panics, which ends the machine
	}
}

func run() error {
	list, err := os.Open(moduleList)
	if err != nil {
		return err
	}

	defer list.Close() //nolint:errcheck

	for lines := bufio.NewScanner(list); lines.Scan(); {
		if err := load(lines.Text()); err != nil {
			return fmt.Errorf("error loading kernel module %s: %w", lines.Text(), err)
		}
	}

	// The modules' files would stay in memory below the root of Talos.
	if err := os.RemoveAll("/modules"); err != nil {
		return err
	}

	return syscall.Exec(talosInit, []string{"/init"}, os.Environ())
}

func load(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}

	defer file.Close() //nolint:errcheck

	if err := unix.FinitModule(int(file.Fd()), "", 0); err != nil && err != unix.EEXIST {
		return err
	}

	return nil
}
