// SPDX-License-Identifier: MPL-2.0

// Package cgroup reads and limits one container's cgroup in the unified hierarchy.
//
// Facts: Documentation/admin-guide/cgroup-v2.rst and Documentation/scheduler/sched-bwc.rst of the
// Linux kernel.
package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/spegel-guard/spegel-guard/internal/mounts"
)

// ErrNoUnifiedEntry says that a process is in no cgroup of the unified hierarchy.
var ErrNoUnifiedEntry = errors.New("no entry of the unified hierarchy (0::)")

// ParseProcCgroup reads the unified hierarchy's entry of /proc/<pid>/cgroup.
//
// The path is as the reader's cgroup namespace shows it: a cgroup outside of the namespace's root
// begins with one "/.." for each level up (cgroup_namespaces(7)).
func ParseProcCgroup(data []byte) (string, error) {
	for line := range bytes.Lines(data) {
		line = bytes.TrimSuffix(line, []byte("\n"))

		if entry, ok := bytes.CutPrefix(line, []byte("0::")); ok {
			if len(entry) == 0 || entry[0] != '/' {
				return "", fmt.Errorf("entry %q is not an absolute path", entry)
			}

			// The kernel appends this when the process's cgroup was removed.
			if bytes.HasSuffix(entry, []byte(" (deleted)")) {
				return "", fmt.Errorf("%w: cgroup was removed", ErrGone)
			}

			return string(entry), nil
		}
	}

	return "", ErrNoUnifiedEntry
}

// MountRoot finds the cgroup2 mount at mountPoint among those of /proc/self/mountinfo and returns which
// cgroup is mounted there, again as the reader's cgroup namespace shows it: "/" for the namespace's
// root, "/../../.." for the hierarchy's root seen from three levels below.
func MountRoot(infos []mounts.Mount, mountPoint string) (string, error) {
	root := ""

	for _, info := range infos {
		if info.Point == mountPoint && info.Type == "cgroup2" {
			root = info.Root // a later mount hides an earlier one
		}
	}

	if root == "" {
		return "", fmt.Errorf("%w: nothing of type cgroup2 is mounted at %s", ErrNotUnified, mountPoint)
	}

	return root, nil
}

// Resolve turns a path of /proc/<pid>/cgroup into one relative to the mounted root.
//
// Both are seen from the same cgroup namespace. A path that leaves the namespace's root by fewer
// levels than the mount does shares a part of its way with the namespace's own root, whose name
// cannot be known from inside; nothing a guard limits lies there, so it is refused rather than guessed.
func Resolve(mountRoot, procPath string) (string, error) {
	mountUps, mountRest := splitUps(mountRoot)
	pathUps, pathRest := splitUps(procPath)

	if pathUps != mountUps {
		return "", fmt.Errorf("cgroup %s is not below the mounted root %s as this namespace sees it", procPath, mountRoot)
	}

	if mountRest != "" {
		rest, ok := strings.CutPrefix(pathRest+"/", mountRest+"/")
		if !ok {
			return "", fmt.Errorf("cgroup %s is outside of the mounted root %s", procPath, mountRoot)
		}

		pathRest = strings.TrimSuffix(rest, "/")
	}

	if clean := path.Clean("/" + pathRest); pathRest == "" || clean != "/"+pathRest || strings.HasPrefix(clean, "/..") {
		return "", fmt.Errorf("cgroup %s does not name a cgroup below the root", procPath)
	}

	return pathRest, nil
}

// splitUps counts the leading "/.." and returns the rest without its leading slash.
func splitUps(p string) (int, string) {
	ups := 0

	for p == "/.." || strings.HasPrefix(p, "/../") {
		ups++

		p = p[len("/.."):]
	}

	return ups, strings.TrimPrefix(p, "/")
}
