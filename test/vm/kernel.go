// SPDX-License-Identifier: MPL-2.0

package vm

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spegel-guard/spegel-guard/test/debian"
)

// kernelPackage has the series of Talos 1.13, whose machined needs open_tree on anonymous mounts (6.15). If backports has
// removed this version, the newest one of the series is used.
const kernelPackage = "linux-image-6.18.15+deb13-cloud-amd64 | linux-image-6.18.*-cloud-amd64"

// Kernel is a bootable kernel and its modules.
type Kernel struct {
	// Image is the bzImage.
	Image string
	// Modules is the folder of the kernel's modules (/lib/modules/<release>). They are compressed (.ko.xz).
	Modules string
}

// FetchKernel returns Debian's cloud kernel. It downloads the package if the cache has none.
func FetchKernel(ctx context.Context, cache string) (Kernel, error) {
	root, err := debian.UnpackOnly(ctx, cache, debian.TrixieBackports, kernelPackage)
	if err != nil {
		return Kernel{}, err
	}

	return findKernel(root)
}

// findKernel returns the only kernel below root.
func findKernel(root string) (Kernel, error) {
	image, err := only(root, "boot/vmlinuz-*")
	if err != nil {
		return Kernel{}, err
	}

	modules, err := only(root, "usr/lib/modules/*/kernel")
	if err != nil {
		return Kernel{}, err
	}

	return Kernel{Image: image, Modules: filepath.Dir(modules)}, nil
}

// only returns the file below root that matches the pattern. It fails unless there is exactly one.
func only(root, pattern string) (string, error) {
	found, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil {
		return "", err
	}

	if len(found) != 1 {
		return "", fmt.Errorf("%s holds %d files %s, expected one", root, len(found), pattern)
	}

	return found[0], nil
}
