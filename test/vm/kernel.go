package vm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"

	"github.com/spegel-guard/spegel-guard/test/artifacts"
)

// Kernel is a bootable kernel and its modules.
type Kernel struct {
	// Image is the bzImage.
	Image string
	// Modules is the folder of the kernel's modules (/lib/modules/<release>).
	Modules string
}

// kernelMetaPackages are Debian's names of the newest cloud kernel, best first.
//
// Bookworm's own cloud kernel is 6.1; 6.12 stands beside it under its own name and is what
// later Debian releases call linux-image-cloud-amd64.
var kernelMetaPackages = []string{"linux-image-6.12-cloud-amd64", "linux-image-cloud-amd64"}

var kernelDependency = regexp.MustCompile(`(?m)^\s*Depends: (linux-image-[0-9]\S*-cloud-amd64)$`)

// FetchKernel returns Debian's cloud kernel, downloading it into the cache when the cache has none.
//
// The cached kernel is used for as long as it is there; remove the folder to move on to a newer one.
func FetchKernel(ctx context.Context, cache string) (Kernel, error) {
	base := filepath.Join(cache, "kernel")

	if kernel, ok := cachedKernel(base); ok {
		return kernel, nil
	}

	name, err := resolveKernelPackage(ctx)
	if err != nil {
		return Kernel{}, err
	}

	err = artifacts.BuildOnce(filepath.Join(base, name), func(tmp string) error {
		get := exec.CommandContext(ctx, "apt-get", "download", name)
		get.Dir = tmp

		if _, err := artifacts.Output(get); err != nil {
			return err
		}

		debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
		if err != nil || len(debs) != 1 {
			return fmt.Errorf("apt-get download %s left %d packages, wanted one", name, len(debs))
		}

		if _, err := artifacts.Output(exec.CommandContext(ctx, "dpkg-deb", "-x", debs[0], tmp)); err != nil {
			return err
		}

		return os.Remove(debs[0])
	})
	if err != nil {
		return Kernel{}, fmt.Errorf("error fetching kernel %s: %w", name, err)
	}

	kernel, ok := cachedKernel(base)
	if !ok {
		return Kernel{}, fmt.Errorf("package %s holds no kernel with modules", name)
	}

	return kernel, nil
}

func cachedKernel(base string) (Kernel, bool) {
	images, err := filepath.Glob(filepath.Join(base, "*", "boot", "vmlinuz-*"))
	if err != nil || len(images) == 0 {
		return Kernel{}, false
	}

	sort.Strings(images)

	image := images[len(images)-1]
	root := filepath.Dir(filepath.Dir(image))

	for _, lib := range []string{"lib", "usr/lib"} {
		modules, err := filepath.Glob(filepath.Join(root, lib, "modules", "*", "kernel"))
		if err == nil && len(modules) == 1 {
			return Kernel{Image: image, Modules: filepath.Dir(modules[0])}, true
		}
	}

	return Kernel{}, false
}

// resolveKernelPackage asks apt which kernel the meta package stands for today.
func resolveKernelPackage(ctx context.Context) (string, error) {
	var lastErr error

	for _, meta := range kernelMetaPackages {
		out, err := artifacts.Output(exec.CommandContext(ctx, "apt-cache", "depends", meta))
		if err != nil {
			lastErr = err

			continue
		}

		if match := kernelDependency.FindSubmatch(out); match != nil {
			return string(match[1]), nil
		}

		lastErr = fmt.Errorf("apt-cache depends %s names no kernel", meta)
	}

	return "", fmt.Errorf("error looking for a cloud kernel (was apt-get update run?): %w", lastErr)
}
