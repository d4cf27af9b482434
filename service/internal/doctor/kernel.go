// SPDX-License-Identifier: MPL-2.0

//go:build linux

package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The oldest kernel with all that is read: pressure stall information came with 4.20
// (Documentation/accounting/psi.rst), and user.* attributes of cgroups with 5.7.
const minMajor, minMinor = 5, 7

func kernel() Check {
	check := Check{Name: "kernel", State: OK}

	var name unix.Utsname

	if err := unix.Uname(&name); err != nil {
		check.State, check.Message = Failed, "error asking the kernel's release: "+err.Error()

		return check
	}

	check.Message = unix.ByteSliceToString(name.Release[:])

	if !recent(check.Message) {
		check.State = Failed
		check.Fix = fmt.Sprintf("run Linux %d.%d or later; every Talos that loads the extension has one", minMajor, minMinor)
	}

	return check
}

// recent tells whether a kernel's release is new enough.
func recent(release string) bool {
	major, rest, _ := strings.Cut(release, ".")
	minor, _, _ := strings.Cut(rest, ".")
	minor, _, _ = strings.Cut(minor, "-")

	first, err := strconv.Atoi(major)
	second, err2 := strconv.Atoi(minor)

	return err == nil && err2 == nil && (first > minMajor || first == minMajor && second >= minMinor)
}

// cgroup looks whether the root is that of a unified hierarchy which controls processor time.
func (d Doctor) cgroup() Check {
	check := Check{Name: "cgroup", State: Failed}

	var fs unix.Statfs_t

	if err := unix.Statfs(d.Cgroup, &fs); err != nil {
		check.Message = fmt.Sprintf("error looking at %s: %s", d.Cgroup, err)
		check.Fix = "bind-mount the node's /sys/fs/cgroup into the service, read-write (extension/spegel-guard.yaml)"

		return check
	}

	if fs.Type != unix.CGROUP2_SUPER_MAGIC {
		check.Message = d.Cgroup + " is no cgroup v2 file system"
		check.Fix = "boot with the unified hierarchy: remove talos.unified_cgroup_hierarchy=0 from the kernel arguments"

		return check
	}

	controllers, err := os.ReadFile(filepath.Join(d.Cgroup, "cgroup.controllers"))

	switch {
	case err != nil:
		check.Message = "error reading the controllers: " + err.Error()
	case !slices.Contains(strings.Fields(string(controllers)), "cpu"):
		check.Message = "the cpu controller is not there, only: " + strings.TrimSpace(string(controllers))
		check.Fix = "a real-time process or a v1 hierarchy keeps it; see 'grep cpu /proc/cgroups'"
	default:
		check.State, check.Message = OK, "unified hierarchy at "+d.Cgroup+" with the cpu controller"
	}

	return check
}

// writable says why a file cannot be written, without writing it; nil when it can.
func writable(path string) error {
	err := unix.Access(path, unix.W_OK)
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%w: mounted read-only", err)
	}

	return err
}

// enforcing tells whether SELinux refuses what its policy does not allow.
func (d Doctor) enforcing() bool {
	text, err := os.ReadFile(filepath.Join(d.SELinux, "enforce"))

	return err == nil && strings.TrimSpace(string(text)) == "1"
}
