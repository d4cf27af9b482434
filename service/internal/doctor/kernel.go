//go:build linux

package doctor

import (
	"fmt"
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
