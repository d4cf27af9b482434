// SPDX-License-Identifier: MPL-2.0

//go:build linux

package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/constants"
	"golang.org/x/sys/unix"
)

// overlayDirs are the writable layer and the work directory of a service's root file system
// (NewSystemOverlay in internal/pkg/mount/v3 of Talos).
func overlayDirs(rootfs string) (diff, work string) {
	base := filepath.Join(constants.SystemOverlaysPath, strings.ReplaceAll(strings.TrimPrefix(rootfs, "/"), "/", "-"))

	return base + "-diff", base + "-workdir"
}

// mountRootfs mounts a writable overlay over the root file system of a service, in which runc creates the mount points. It
// is read-only in the container. The writable layer with the mount points stays until the node reboots.
func mountRootfs(rootfs string) error {
	if err := unmountRootfs(rootfs); err != nil {
		return err // a service that was not stopped left an overlay
	}

	diff, work := overlayDirs(rootfs)

	for _, dir := range []string{diff, work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}

	data := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", rootfs, diff, work)

	if err := unix.Mount("overlay", rootfs, "overlay", 0, data); err != nil {
		return fmt.Errorf("failed to mount the overlay over %s: %w", rootfs, err)
	}

	return nil
}

// unmountRootfs does nothing when no overlay is mounted.
func unmountRootfs(rootfs string) error {
	if err := unix.Unmount(rootfs, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("failed to unmount the overlay over %s: %w", rootfs, err)
	}

	return nil
}

// mountSystem mounts a tmpfs at /system, as Talos does.
func mountSystem() error {
	if err := os.MkdirAll(constants.SystemPath, 0o755); err != nil {
		return err
	}

	return unix.Mount("tmpfs", constants.SystemPath, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755")
}

// sysctls are the kernel parameters of Talos (pkg/kernel/kspp) that affect a service.
var sysctls = map[string]string{
	"fs/suid_dumpable":         "0",
	"kernel/dmesg_restrict":    "1",
	"kernel/kptr_restrict":     "2",
	"kernel/yama/ptrace_scope": "2",
	"user/max_user_namespaces": "0",
}

// maxOpenFiles is the limit of machined (internal/app/machined/pkg/startup). containerd and the services inherit it.
const maxOpenFiles = 1048576

// harden sets the kernel's parameters and the resource limits as Talos does at boot.
func harden() error {
	for name, value := range sysctls {
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0); err != nil {
			return err
		}
	}

	return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: maxOpenFiles, Max: maxOpenFiles})
}
