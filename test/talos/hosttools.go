// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spegel-guard/spegel-guard/test/artifacts"
	"github.com/spegel-guard/spegel-guard/test/debian"
)

// Programs that the imager and this package run, and their packages. The imager needs squashfs-tools 4.6, which Debian 12
// does not have.
var (
	hostTools        = []string{"mksquashfs", "unsquashfs", "cpio", "zstd", "xz", "sgdisk", "mkfs.vfat", "mcopy", "xorrisofs", "osirrox"}
	hostToolPackages = []string{"squashfs-tools", "cpio", "zstd", "xz-utils", "gdisk", "dosfstools", "mtools", "xorriso"}
)

// fetchHostTools returns a folder for PATH with programs of Debian 13, which run with libraries of Debian 13.
func fetchHostTools(ctx context.Context, cache string) (string, error) {
	root, err := debian.Unpack(ctx, cache, debian.Trixie, hostToolPackages...)
	if err != nil {
		return "", err
	}

	programs := sha256.Sum256([]byte(strings.Join(hostTools, " ")))
	dir := filepath.Join(cache, "talos", fmt.Sprintf("hosttools-%s-%x", filepath.Base(root), programs[:4]))

	return dir, artifacts.BuildOnce(dir, func(tmp string) error {
		for _, name := range hostTools {
			program, err := findProgram(root, name)
			if err != nil {
				return err
			}

			// mtools converts names with the C library's modules.
			libs := filepath.Join(root, libraryFolder)
			script := fmt.Sprintf("#!/bin/sh\nexport GCONV_PATH='%s/gconv'\nexec '%s/ld-linux-x86-64.so.2' --library-path '%s' '%s' \"$@\"\n",
				libs, libs, libs, program)

			if err := os.WriteFile(filepath.Join(tmp, name), []byte(script), 0o755); err != nil {
				return err
			}
		}

		return nil
	})
}

// findProgram returns the path of a program below root.
func findProgram(root, name string) (string, error) {
	for _, dir := range []string{"usr/bin", "usr/sbin", "bin", "sbin"} {
		path := filepath.Join(root, dir, name)

		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}

	return "", fmt.Errorf("%s has no program %s", root, name)
}
