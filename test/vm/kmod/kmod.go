// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package kmod loads kernel modules in a guest without modprobe.
package kmod

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Load loads the module of a file. It does nothing if the module is loaded.
func Load(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}

	defer file.Close() //nolint:errcheck // only read

	if err := unix.FinitModule(int(file.Fd()), "", 0); err != nil && err != unix.EEXIST {
		return fmt.Errorf("failed to load kernel module %s: %w", path, err)
	}

	return nil
}
