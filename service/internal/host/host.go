// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package host reads the node that the service runs on: its procfs, its cgroups and its boot.
package host

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/spegel-guard/spegel-guard/internal/regular"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
)

// Host is the node as the service sees it.
type Host struct {
	// Proc is the node's procfs, Cgroup the root of its unified cgroup hierarchy (cgroup v2).
	Proc, Cgroup string
	// BootID identifies this boot. Saved state and journals of another boot are not applied.
	BootID string
}

// CheckRoot returns cgroup.ErrNotUnified when Cgroup is not the root of a unified hierarchy.
func (h Host) CheckRoot() error { return cgroup.CheckRoot(h.Cgroup) }

// maxBootID is the longest boot id in bytes. The kernel writes a UUID and a newline: 37.
const maxBootID = 128

// ReadBootID reads the id of this boot from the procfs at proc (sys/kernel/random/boot_id, random(4)).
func ReadBootID(proc string) (string, error) {
	id, err := regular.ReadFile(filepath.Join(proc, "sys/kernel/random/boot_id"), maxBootID)
	if err != nil {
		return "", fmt.Errorf("failed to read the boot id, is the node's procfs mounted at %s: %w", proc, err)
	}

	return string(bytes.TrimSpace(id)), nil
}
