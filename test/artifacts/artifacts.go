// SPDX-License-Identifier: MPL-2.0

// Package artifacts caches downloads and builds of the tests.
package artifacts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// CacheEnv is the environment variable with the path of the cache.
const CacheEnv = "SPEGEL_GUARD_CACHE"

// CacheDir returns the folder with downloads and builds of earlier runs. It is outside the work tree, so that all clones on
// the machine share it.
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

// BuildOnce creates dir by running build on a temporary folder, which is renamed to dir if build succeeds. It does nothing
// if dir exists. An interrupted or failed build leaves no incomplete dir.
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
		// Another run may have been faster, with the same result.
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
