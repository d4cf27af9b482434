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

// guestModules are the kernel modules that containerd's overlay snapshotter and the CNI bridge need.
//
// Debian's cloud kernel has cgroup v2, ext4, seccomp and the serial ports built in.
var guestModules = []string{"overlay", "veth", "bridge"}

// Module is one kernel module, unpacked.
type Module struct {
	// Name in the kernel's spelling, with underscores.
	Name string
	// Data is the object file.
	Data []byte
}

// LoadModules reads the wanted modules and everything they depend on, in loading order.
//
// Dependencies come from each module's own .modinfo ("depends="), because the Debian package
// ships no modules.dep: depmod writes it at installation, and nothing is installed here.
func LoadModules(ctx context.Context, kernel Kernel, wanted []string) ([]Module, error) {
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
			// Built in: nothing to load. A module that is really missing shows in the guest.
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

	for _, name := range wanted {
		if err := load(name); err != nil {
			return nil, fmt.Errorf("failed to read kernel module %s: %w", name, err)
		}
	}

	return ordered, nil
}

// moduleName folds the two spellings of module names ("-" in file names, "_" in the kernel).
func moduleName(name string) string {
	return strings.ReplaceAll(name, "-", "_")
}

func readModule(ctx context.Context, path string) ([]byte, error) {
	// No kept Go xz library resolves here, and xz itself belongs to every Debian.
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
