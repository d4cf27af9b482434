// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spegel-guard/spegel-guard/test/artifacts"
	"github.com/spegel-guard/spegel-guard/test/debian"
	"github.com/spegel-guard/spegel-guard/test/vm"
)

// rootfs builds Talos' root file system in a folder.
type rootfs struct {
	dir      string
	kernel   vm.Kernel
	programs Programs
	// node has containerd, its shim, runc and the CNI plugins, by their names.
	node map[string]string
	// debian is the root of Debian's packages.
	debian string
	// source is the module of Talos.
	source string
}

// newRootfs finds the contents of a root file system, which build copies.
func newRootfs(ctx context.Context, cache string, kernel vm.Kernel, programs Programs) (rootfs, error) {
	node, err := vm.BuildTools(ctx, cache)
	if err != nil {
		return rootfs{}, err
	}

	packages, err := debian.Unpack(ctx, cache, debian.Trixie, debianPackages...)
	if err != nil {
		return rootfs{}, err
	}

	source, err := sourceOfTalos(ctx)

	return rootfs{kernel: kernel, programs: programs, node: node, debian: packages, source: source}, err
}

// sourceOfTalos returns the folder of Talos' module in the module cache.
func sourceOfTalos(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", "github.com/siderolabs/talos@"+Version)
	cmd.Env = append(os.Environ(), "GOFLAGS=")

	out, err := artifacts.Output(cmd)
	if err != nil {
		return "", err
	}

	var module struct{ Dir string }

	err = json.Unmarshal(out, &module)

	return module.Dir, err
}

// build writes the root file system below dir.
func (r rootfs) build(dir string) error {
	r.dir = dir

	for _, step := range []func() error{r.skeleton, r.talosFiles, r.nodeFiles, r.debianFiles, r.moduleFiles} {
		if err := step(); err != nil {
			return fmt.Errorf("failed to lay out Talos' root file system: %w", err)
		}
	}

	return nil
}

func (r rootfs) skeleton() error {
	for _, folder := range rootFolders {
		if err := os.MkdirAll(filepath.Join(r.dir, folder), 0o755); err != nil {
			return err
		}
	}

	for name, target := range rootLinks {
		if err := os.Symlink(target, filepath.Join(r.dir, name)); err != nil {
			return err
		}
	}

	for name, content := range rootFiles {
		if err := r.write(name, []byte(content)); err != nil {
			return err
		}
	}

	return nil
}

func (r rootfs) talosFiles() error {
	for from, to := range rootConfigs {
		if err := r.copy(filepath.Join(r.source, from), to, 0o644); err != nil {
			return err
		}
	}

	if err := r.copy(r.programs.Machined, "usr/bin/init", 0o755); err != nil {
		return err
	}

	for _, name := range []string{"poweroff", "shutdown", "dashboard"} {
		if err := os.Link(filepath.Join(r.dir, "usr/bin/init"), filepath.Join(r.dir, "usr/bin", name)); err != nil {
			return err
		}
	}

	return nil
}

func (r rootfs) nodeFiles() error {
	for name, source := range r.node {
		if err := r.copy(source, strings.TrimPrefix(vm.GuestBinary(name), "/"), 0o755); err != nil {
			return err
		}
	}

	return nil
}

func (r rootfs) debianFiles() error {
	var programs []string

	for name, of := range debianPrograms {
		program, err := findProgram(r.debian, of)
		if err != nil {
			return err
		}

		programs = append(programs, program)

		if err := r.copy(program, filepath.Join("usr/bin", name), 0o755); err != nil {
			return err
		}
	}

	for _, name := range openedLibraries {
		library, err := findLibrary(r.debian, name)
		if err != nil {
			return err
		}

		programs = append(programs, library)

		if err := r.copy(library, filepath.Join("usr/lib", name), 0o755); err != nil {
			return err
		}
	}

	needed, err := libraries(r.debian, programs...)
	if err != nil {
		return err
	}

	for name, source := range needed {
		// The programs expect the loader in /lib64, which is a link to this folder.
		if err := r.copy(source, filepath.Join("usr/lib", name), 0o755); err != nil {
			return err
		}
	}

	for _, rules := range udevRules {
		if err := r.copy(filepath.Join(r.debian, "usr/lib/udev/rules.d", rules), filepath.Join("usr/lib/udev/rules.d", rules), 0o644); err != nil {
			return err
		}
	}

	// The search path of Debian's loader has this folder, but not /usr/lib.
	return os.Symlink("../lib", filepath.Join(r.dir, libraryFolder))
}

// moduleFiles writes empty indexes for modprobe. preinit has loaded the modules.
func (r rootfs) moduleFiles() error {
	release := filepath.Base(r.kernel.Modules)

	for _, name := range []string{"modules.dep", "modules.builtin", "modules.alias", "modules.order", "modules.softdep"} {
		if err := r.write(filepath.Join("usr/lib/modules", release, name), nil); err != nil {
			return err
		}
	}

	return nil
}

func (r rootfs) write(name string, content []byte) error {
	path := filepath.Join(r.dir, name)

	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}

	return os.WriteFile(path, content, 0o644)
}

func (r rootfs) copy(source, name string, mode os.FileMode) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}

	defer in.Close() //nolint:errcheck

	path := filepath.Join(r.dir, name)

	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}

	out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}

	if _, err := io.Copy(out, in); err != nil {
		out.Close() //nolint:errcheck // it is not what failed

		return err
	}

	return out.Close()
}
