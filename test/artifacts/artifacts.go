// SPDX-License-Identifier: MPL-2.0

// Package artifacts keeps what the tests download and build between runs.
package artifacts

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
		return "", fmt.Errorf("failed to find the user cache folder (set %s): %w", CacheEnv, err)
	}

	return filepath.Join(base, "spegel-guard"), nil
}

// BuildOnce makes dir by running build on a temporary sibling, which becomes dir only when build succeeds.
// It does nothing when dir exists.
//
// An interrupted or failed build therefore never leaves a half-filled cache entry behind.
func BuildOnce(dir string, build func(tmp string) error) error {
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

// Output runs a helper program and returns its standard output. On failure the error holds its standard error.
func Output(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}

	var exitErr *exec.ExitError

	if errors.As(err, &exitErr) && len(exitErr.Stderr) > 0 {
		return nil, fmt.Errorf("failed to run %v: %w: %s", cmd.Args, err, exitErr.Stderr)
	}

	return nil, fmt.Errorf("failed to run %v: %w", cmd.Args, err)
}
