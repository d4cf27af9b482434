// SPDX-License-Identifier: MPL-2.0

// Package sbom makes the bill of materials of the daemon: the modules that are linked into it, and their licences.
package sbom

import (
	"bytes"
	"cmp"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// Module is a module that is linked into a binary.
type Module struct {
	Path, Version string
	// Sum is its checksum in the form of go.sum (h1:...).
	Sum string
	// Licence is an SPDX expression, or NoAssertion if it is unknown.
	Licence string
}

// NoAssertion is the SPDX value for an unknown licence.
const NoAssertion = "NOASSERTION"

// Modules returns the modules that are linked into a binary, from its build information, with their licences from the module
// cache.
func Modules(ctx context.Context, tree string, binary io.ReaderAt) ([]Module, error) {
	info, err := buildinfo.Read(binary)
	if err != nil {
		return nil, fmt.Errorf("failed to read the binary's build information: %w", err)
	}

	folders, err := folders(ctx, tree)
	if err != nil {
		return nil, err
	}

	modules := []Module{{Path: "stdlib", Version: info.GoVersion, Licence: "BSD-3-Clause"}}

	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}

		licence, err := licenceIn(folders[dep.Path+"@"+dep.Version])
		if err != nil {
			return nil, fmt.Errorf("failed to find the licence of %s: %w", dep.Path, err)
		}

		modules = append(modules, Module{Path: dep.Path, Version: dep.Version, Sum: dep.Sum, Licence: licence})
	}

	slices.SortFunc(modules, func(a, b Module) int { return cmp.Compare(a.Path, b.Path) })

	return modules, nil
}

// folders of all modules in the cache.
func folders(ctx context.Context, tree string) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-json=Path,Version,Dir", "all")
	cmd.Dir = tree

	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("failed to list the modules: %w", err)
	}

	found := map[string]string{}

	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var module struct{ Path, Version, Dir string }

		if err := decoder.Decode(&module); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, fmt.Errorf("failed to read the list of modules: %w", err)
		}

		found[module.Path+"@"+module.Version] = module.Dir
	}
}

// enough is the least share in percent of a file that must be the text of a licence.
const enough = 75

// licenceIn returns the licences of the files in a module's folder.
func licenceIn(dir string) (string, error) {
	if dir == "" {
		return NoAssertion, nil
	}

	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}

	var found []string

	for _, entry := range entries {
		name := strings.ToUpper(entry.Name())
		if entry.IsDir() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") {
			continue
		}

		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return "", err
		}

		coverage := licensecheck.Scan(text)
		if coverage.Percent < enough {
			continue
		}

		for _, match := range coverage.Match {
			found = append(found, match.ID)
		}
	}

	slices.Sort(found)

	if found = slices.Compact(found); len(found) == 0 {
		return NoAssertion, nil
	}

	return strings.Join(found, " AND "), nil
}
