// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// CheckRoot tells whether root is a mounted unified hierarchy; ErrNotUnified otherwise, with what is
// there instead: nothing, cgroup v1, or the hybrid of both.
func CheckRoot(root string) error {
	kind, err := fsType(root)

	switch {
	case err != nil:
		return fmt.Errorf("%w: error looking at %s: %w", ErrNotUnified, root, err)
	case kind == unix.CGROUP2_SUPER_MAGIC:
		return nil
	}

	// systemd's layouts (its documentation, CGROUP_DELEGATION): a tmpfs with one v1 hierarchy per
	// controller, and in hybrid mode the unified one beside them, without controllers.
	if kind, err := fsType(filepath.Join(root, "unified")); err == nil && kind == unix.CGROUP2_SUPER_MAGIC {
		return fmt.Errorf("%w: %s is not a cgroup2 file system: the host is hybrid, cgroup v1 holds the controllers; "+
			"boot it with systemd.unified_cgroup_hierarchy=1", ErrNotUnified, root)
	}

	if kind, err := fsType(filepath.Join(root, "cpu")); err == nil && kind == unix.CGROUP_SUPER_MAGIC {
		return fmt.Errorf("%w: %s is not a cgroup2 file system but cgroup v1; "+
			"boot the host with systemd.unified_cgroup_hierarchy=1", ErrNotUnified, root)
	}

	return fmt.Errorf("%w: %s is not a cgroup2 file system", ErrNotUnified, root)
}

func fsType(path string) (int64, error) {
	var fs unix.Statfs_t

	err := unix.Statfs(path, &fs)

	return int64(fs.Type), err //nolint:unconvert // 32 bits wide on some architectures
}

// rootHas tells whether the hierarchy has a controller at all: one that cgroup v1 uses is missing.
func rootHas(root, controller string) bool {
	data, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))

	return err != nil || slices.Contains(strings.Fields(string(data)), controller)
}
