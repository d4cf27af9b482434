// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// libraryFolder of Debian's amd64 packages, below the root of a file system.
const libraryFolder = "usr/lib/x86_64-linux-gnu"

// libraryPaths are the folders below a root that the loader searches, including that of systemd.
var libraryPaths = []string{libraryFolder, libraryFolder + "/systemd", "usr/lib/systemd"}

// libraries returns the shared libraries that the programs need, by name, with their dependencies. The loader is included,
// because the C library names it. The files are searched below root.
func libraries(root string, programs ...string) (map[string]string, error) {
	found := map[string]string{}

	for todo := slices.Clone(programs); len(todo) > 0; {
		path := todo[0]
		todo = todo[1:]

		names, err := neededBy(path)
		if err != nil {
			return nil, err
		}

		for _, name := range names {
			if _, known := found[name]; known {
				continue
			}

			library, err := findLibrary(root, name)
			if err != nil {
				return nil, fmt.Errorf("failed to find a library of %s: %w", path, err)
			}

			found[name] = library
			todo = append(todo, library)
		}
	}

	return found, nil
}

// neededBy reads the names of the libraries from a program's or library's dynamic section.
func neededBy(path string) ([]string, error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("failed to read %s: %w", path, err)
	}

	defer file.Close() //nolint:errcheck

	return file.ImportedLibraries()
}

func findLibrary(root, name string) (string, error) {
	for _, dir := range libraryPaths {
		path, err := filepath.EvalSymlinks(filepath.Join(root, dir, name))

		switch {
		case err == nil:
			return path, nil
		case !errors.Is(err, os.ErrNotExist):
			return "", err
		}
	}

	return "", fmt.Errorf("%s is in none of %v below %s", name, libraryPaths, root)
}
