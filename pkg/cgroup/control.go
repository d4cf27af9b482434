// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	fileProcs  = "cgroup.procs"
	fileType   = "cgroup.type"
	fileEvents = "cgroup.events"
)

// Why a cgroup cannot be given a ceiling, besides IsNotPermitted.
var (
	// ErrNoController: there is no cpu.max.
	ErrNoController = errors.New("the cpu controller is not on")
	// ErrThreaded: the cgroup holds some threads of processes that live elsewhere.
	ErrThreaded = errors.New("the cgroup is threaded")
	// ErrFrozen: nothing in it runs.
	ErrFrozen = errors.New("the cgroup is frozen")
)

// Controllable reports whether a ceiling could be written, without writing one: ErrNoController,
// ErrThreaded, ErrFrozen, an error that IsNotPermitted, or ErrGone. It says what to do about it.
func (d *Dir) Controllable() error {
	kind, err := d.ReadFile(fileType)
	if err != nil {
		return err
	}

	// "domain threaded" is the root of such a subtree: its limit covers whole processes.
	switch kind := string(bytes.TrimSpace(kind)); kind {
	case "threaded", "domain invalid":
		return fmt.Errorf("%w: %s reads %q in cgroup %s, so its limit would hold some threads of a process; "+
			"the container's process must be in a cgroup of type domain", ErrThreaded, fileType, kind, d.path)
	}

	if !d.has(fileMax) {
		if !d.has(fileProcs) {
			return fmt.Errorf("cgroup %s: %w", d.path, ErrGone)
		}

		if !rootHas(d.root, "cpu") {
			return fmt.Errorf("%w: cgroup %s has no %s, and the hierarchy's root has no cpu controller either: cgroup v1 holds it "+
				"(hybrid host); boot with systemd.unified_cgroup_hierarchy=1", ErrNoController, d.path, fileMax)
		}

		return fmt.Errorf("%w: cgroup %s has no %s; the container runtime must delegate cpu (cgroup.subtree_control of the cgroup above)",
			ErrNoController, d.path, fileMax)
	}

	if err := unix.Faccessat(d.fd(), fileMax, unix.W_OK, unix.AT_EACCESS); err != nil {
		return fmt.Errorf("%s of cgroup %s is not writable: %w", fileMax, d.path, gone(err))
	}

	_, frozen, err := d.events()
	if err != nil {
		return err
	}

	if frozen {
		return fmt.Errorf("%w: nothing in cgroup %s runs, there is nothing to limit; it is looked at again once it is thawed", ErrFrozen, d.path)
	}

	return nil
}

// IsNotPermitted reports whether the machine does not permit the write: a read-only mount, file
// permissions, or a security module such as SELinux.
func IsNotPermitted(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS)
}

// IsUncontrollable reports whether an error of Controllable leaves only observing.
func IsUncontrollable(err error) bool {
	return IsNotPermitted(err) || errors.Is(err, ErrNoController) || errors.Is(err, ErrThreaded) || errors.Is(err, ErrFrozen)
}
