// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"

	"github.com/spegel-guard/spegel-guard/test/artifacts"
	"github.com/spegel-guard/spegel-guard/test/talos/initramfs"
	"github.com/spegel-guard/spegel-guard/test/vm"
)

// module of this project.
const module = "github.com/spegel-guard/spegel-guard"

// nodeModules are kernel modules that Talos' kernel has built in and Debian's cloud kernel has not.
var nodeModules = []string{
	"squashfs", "loop", "overlay", "configfs", "virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "xfs", "ext4", "vfat",
	"nls_ascii", "nls_cp437", "nls_utf8", "dm_mod", "fuse", "erofs", "nf_tables", "nft_ct", "nft_compat", "nft_chain_nat",
	"nft_masq", "nft_nat", "nft_reject_inet", "nft_numgen", "nft_limit", "nft_log", "nft_queue", "nf_conntrack",
	"veth", "bridge", "br_netfilter", "dummy", "tun", "efivarfs",
}

// rootfsAsset is the path at which Talos' init expects the root file system.
const rootfsAsset = "/rootfs.sqsh"

// base is Talos' initramfs without extensions, for the imager, with its kernel.
type base struct {
	initramfs string
	kernel    vm.Kernel
	tools     string // a folder for PATH
}

// makeBase builds the base in the cache, or returns the cached one.
func makeBase(ctx context.Context, cache string, programs Programs) (base, error) {
	kernel, err := vm.FetchKernel(ctx, cache)
	if err != nil {
		return base{}, err
	}

	tools, err := fetchHostTools(ctx, cache)
	if err != nil {
		return base{}, err
	}

	root, err := newRootfs(ctx, cache, kernel, programs)
	if err != nil {
		return base{}, err
	}

	modules, err := vm.LoadModules(ctx, kernel, nodeModules)
	if err != nil {
		return base{}, err
	}

	preinit, err := buildGo(ctx, "test/talos/preinit")
	if err != nil {
		return base{}, err
	}

	key, err := root.key(preinit, modules)
	if err != nil {
		return base{}, err
	}

	dir := filepath.Join(cache, "talos", "base-"+key)
	made := base{initramfs: filepath.Join(dir, "initramfs.cpio"), kernel: kernel, tools: tools}

	return made, artifacts.BuildOnce(dir, func(tmp string) error {
		squashed := filepath.Join(tmp, "rootfs.sqsh")

		if err := squash(ctx, tools, root, squashed); err != nil {
			return err
		}

		defer os.Remove(squashed) //nolint:errcheck // the folder is removed on failure

		archive := vm.NewInitramfs()
		archive.AddFile(rootfsAsset, squashed, 0o644)
		archive.AddFile(initramfs.TalosInit, programs.Init, 0o755)
		archive.AddExecutable("/init", preinit)

		var list bytes.Buffer

		for _, m := range modules {
			name := filepath.Join(initramfs.ModuleFolder, m.Name+".ko")
			archive.AddData(name, m.Data)
			fmt.Fprintln(&list, name)
		}

		archive.AddData(initramfs.ModuleList, list.Bytes())

		file, err := os.Create(filepath.Join(tmp, "initramfs.cpio"))
		if err != nil {
			return err
		}

		if err := archive.Write(file); err != nil {
			return err
		}

		return file.Close()
	})
}

// squash creates the file system as Talos does, except for the compression: lzo is the fastest to unpack in emulation.
func squash(ctx context.Context, tools string, root rootfs, file string) error {
	dir, err := os.MkdirTemp("", "spegel-guard-talos-root-")
	if err != nil {
		return err
	}

	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder

	if err := root.build(dir); err != nil {
		return err
	}

	_, err = artifacts.Output(exec.CommandContext(ctx, filepath.Join(tools, "mksquashfs"), dir, file,
		"-all-root", "-noappend", "-comp", "lzo", "-no-progress", "-quiet"))

	return err
}

// key is a hash of everything that the base consists of: the tables of this package, the programs and the packages.
func (r rootfs) key(preinit []byte, modules []vm.Module) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, Version, rootFolders, rootLinks, rootFiles, rootConfigs, debianPrograms, openedLibraries, udevRules, r.debian) //nolint:errcheck // a hash takes everything
	sum.Write(preinit)

	for _, m := range modules {
		sum.Write(m.Data)
	}

	files := []string{r.programs.Machined, r.programs.Init}
	for _, path := range r.node {
		files = append(files, path)
	}

	sort.Strings(files)

	for _, path := range files {
		if err := hashFile(sum, path); err != nil {
			return "", err
		}
	}

	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

func hashFile(sum io.Writer, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}

	defer file.Close() //nolint:errcheck

	_, err = io.Copy(sum, file)

	return err
}

// buildGo builds a static program of this project and returns it.
func buildGo(ctx context.Context, pkg string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "spegel-guard-build-")
	if err != nil {
		return nil, err
	}

	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder

	binary := filepath.Join(dir, "program")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, module+"/"+pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")

	if _, err := artifacts.Output(cmd); err != nil {
		return nil, err
	}

	return os.ReadFile(binary)
}
