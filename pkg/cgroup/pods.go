// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// podCgroup matches the name of a pod's cgroup with either driver of kubelet. The UID of a static pod is a hash without dashes.
var podCgroup = regexp.MustCompile(`^(?:kubepods-(?:[a-z]+-)?)?pod(?:[0-9a-f]{8}[-_][0-9a-f_-]{27}|[0-9a-f]{32})(?:\.slice)?$`)

// PodOf returns the cgroup of the pod that a container's cgroup is in; false if it is in none.
func PodOf(path string) (string, bool) {
	pod := filepath.Dir(path)

	return pod, podCgroup.MatchString(filepath.Base(pod))
}

// CountPods counts the pods' cgroups under the root of the unified hierarchy: those of the class
// Guaranteed are right under kubepods, the others in a folder for their class.
func CountPods(root string) (int, error) {
	count, found := 0, false

	for _, pattern := range []string{
		"kubepods", "kubepods/burstable", "kubepods/besteffort",
		"kubepods.slice", "kubepods.slice/kubepods-burstable.slice", "kubepods.slice/kubepods-besteffort.slice",
	} {
		entries, err := os.ReadDir(filepath.Join(root, pattern))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}

		if err != nil {
			return 0, fmt.Errorf("error counting the pods' cgroups: %w", err)
		}

		found = true

		for _, entry := range entries {
			if entry.IsDir() && podCgroup.MatchString(entry.Name()) {
				count++
			}
		}
	}

	if !found {
		return 0, fmt.Errorf("error counting the pods' cgroups: %s has no kubepods", root)
	}

	return count, nil
}
