// SPDX-License-Identifier: MPL-2.0

package vm

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spegel-guard/spegel-guard/test/artifacts"
)

// guestModules are the kernel modules for containerd's overlay snapshotter and the CNI bridge. Debian's cloud kernel has cgroup
// v2, ext4, seccomp and the serial ports built in.
var guestModules = []string{"overlay", "veth", "bridge"}

// Module is an unpacked kernel module.
type Module struct {
	// Name in the kernel's spelling, with underscores.
	Name string
	// Data is the object file.
	Data []byte
}

// LoadModules reads modules and their dependencies, in loading order.
//
// The dependencies are read from .modinfo ("depends=") of the modules, because the Debian package has no modules.dep: depmod
// writes it at the installation.
func LoadModules(ctx context.Context, kernel Kernel, names []string) ([]Module, error) {
	paths := map[string]string{}

	err := filepath.WalkDir(kernel.Modules, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}

		if name, rest, ok := strings.Cut(entry.Name(), ".ko"); ok && (rest == "" || rest == ".xz") {
			paths[moduleName(name)] = path
		}

		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("failed to list kernel modules: %w", err)
	}

	var (
		ordered []Module
		done    = map[string]bool{}
		load    func(name string) error
	)

	load = func(name string) error {
		name = moduleName(name)

		if done[name] {
			return nil
		}

		done[name] = true

		path, ok := paths[name]
		if !ok {
			// The module is built in. If it is missing, the guest fails.
			return nil
		}

		data, err := readModule(ctx, path)
		if err != nil {
			return err
		}

		for _, dep := range moduleDepends(data) {
			if err := load(dep); err != nil {
				return err
			}
		}

		ordered = append(ordered, Module{Name: name, Data: data})

		return nil
	}

	for _, name := range names {
		if err := load(name); err != nil {
			return nil, fmt.Errorf("failed to read kernel module %s: %w", name, err)
		}
	}

	return ordered, nil
}

// moduleName replaces "-" in file names of modules by "_", which the kernel uses.
func moduleName(name string) string {
	return strings.ReplaceAll(name, "-", "_")
}

func readModule(ctx context.Context, path string) ([]byte, error) {
	// Go's standard library has no xz, and every Debian machine has the program.
	if strings.HasSuffix(path, ".xz") {
		return artifacts.Output(exec.CommandContext(ctx, "xz", "-dc", path))
	}

	return os.ReadFile(path)
}

// moduleDepends reads the "depends=" entry of a module's .modinfo section.
func moduleDepends(data []byte) []string {
	const key = "\x00depends="

	_, rest, ok := bytes.Cut(data, []byte(key))
	if !ok {
		return nil
	}

	value, _, _ := bytes.Cut(rest, []byte{0})
	if len(value) == 0 {
		return nil
	}

	return strings.Split(string(value), ",")
}
