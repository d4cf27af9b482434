// Package vm boots a throw-away Linux machine under QEMU and runs programs of this project in it.
//
// The kernel is Debian's cloud kernel, the root file system an initramfs made here, and the
// processor emulated (TCG), so it works on any machine, with or without KVM or cgroup v2.
package vm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// CacheEnv names the environment variable that moves the artefact cache.
const CacheEnv = "SPEGEL_GUARD_CACHE"

// CacheDir returns the folder that keeps downloaded and built artefacts between runs.
//
// It stands outside the work tree on purpose: a fresh clone on the same machine reuses it.
func CacheDir() (string, error) {
	if dir := os.Getenv(CacheEnv); dir != "" {
		return filepath.Abs(dir)
	}

	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("error finding the user cache folder (set %s): %w", CacheEnv, err)
	}

	return filepath.Join(base, "spegel-guard"), nil
}

// buildOnce makes dir by running build on a temporary sibling, which becomes dir only when build succeeds.
//
// An interrupted or failed build therefore never leaves a half-filled cache entry behind.
func buildOnce(dir string, build func(tmp string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}

	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}

	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".building-")
	if err != nil {
		return err
	}

	defer os.RemoveAll(tmp) //nolint:errcheck

	if err := build(tmp); err != nil {
		return err
	}

	if err := os.Rename(tmp, dir); err != nil {
		// Another run may have been faster; its result is as good as ours.
		if _, statErr := os.Stat(dir); statErr == nil {
			return nil
		}

		return err
	}

	return nil
}

// command runs a helper program and returns its output; on failure the error carries what it said.
func command(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}

	var exitErr *exec.ExitError

	if errors.As(err, &exitErr) && len(exitErr.Stderr) > 0 {
		return nil, fmt.Errorf("error running %v: %w: %s", cmd.Args, err, exitErr.Stderr)
	}

	return nil, fmt.Errorf("error running %v: %w", cmd.Args, err)
}

// GuestEnv is set in the environment of every program that runs in the guest.
//
// A test that needs a real unified cgroup hierarchy may skip without it and must run with it.
const GuestEnv = "SPEGEL_GUARD_VM"
