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

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// The oldest kernel that has all files the guard reads: pressure stall information since 4.20
// (Documentation/accounting/psi.rst) and user.* attributes of cgroups since 5.7.
const minMajor, minMinor = 5, 7

func kernel() Check {
	check := Check{Name: "kernel", State: resources.CheckFailed}

	var name unix.Utsname

	if err := unix.Uname(&name); err != nil {
		check.Message = "failed to read the kernel's release: " + err.Error()

		return check
	}

	check.Message = unix.ByteSliceToString(name.Release[:])

	if recent(check.Message) {
		check.State = resources.CheckOK
	} else {
		check.Fix = fmt.Sprintf("run Linux %d.%d or later; every Talos that loads the extension has one", minMajor, minMinor)
	}

	return check
}

// recent reports whether a kernel release is at least minMajor.minMinor.
func recent(release string) bool {
	major, rest, _ := strings.Cut(release, ".")
	minor, _, _ := strings.Cut(rest, ".")
	minor, _, _ = strings.Cut(minor, "-")

	first, err := strconv.Atoi(major)
	second, err2 := strconv.Atoi(minor)

	return err == nil && err2 == nil && (first > minMajor || first == minMajor && second >= minMinor)
}

// cgroup checks that the root is a unified hierarchy with the cpu controller.
func (d Doctor) cgroup() Check {
	check := Check{Name: "cgroup", State: resources.CheckFailed, Fix: resources.Fix(resources.ReasonNoCgroup2)}

	var fs unix.Statfs_t

	if err := unix.Statfs(d.Cgroup, &fs); err != nil {
		check.Message = fmt.Sprintf("failed to read %s: %s", d.Cgroup, err)

		return check
	}

	if fs.Type != unix.CGROUP2_SUPER_MAGIC {
		check.Message = d.Cgroup + " is not a cgroup v2 file system"

		return check
	}

	controllers, err := os.ReadFile(filepath.Join(d.Cgroup, "cgroup.controllers"))

	switch {
	case err != nil:
		check.Message = "failed to read the controllers: " + err.Error()
	case !slices.Contains(strings.Fields(string(controllers)), "cpu"):
		check.Message = "the cpu controller is missing, there are: " + strings.TrimSpace(string(controllers))
		check.Fix = resources.Fix(resources.ReasonNoController)
	default:
		check.State, check.Message, check.Fix = resources.CheckOK, "unified hierarchy at "+d.Cgroup+" with the cpu controller", ""
	}

	return check
}

// writable returns why a file cannot be written, without writing it; nil if it can.
func writable(path string) error {
	err := unix.Access(path, unix.W_OK)
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%w: mounted read-only", err)
	}

	return err
}

// enforcing reports whether SELinux is in enforcing mode.
func (d Doctor) enforcing() bool {
	text, err := os.ReadFile(filepath.Join(d.SELinux, "enforce"))

	return err == nil && strings.TrimSpace(string(text)) == "1"
}
