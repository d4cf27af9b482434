// SPDX-License-Identifier: MPL-2.0

// Command vulncheck writes a database for govulncheck from the reports in the module golang.org/x/vulndb. It is for machines that
// reach a module proxy but not the site of the database.
//
//	vulncheck VERSION DATABASE    VERSION is that of the module
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "vulncheck:", err)
		os.Exit(1)
	}
}

// report has the fields of a report (https://ossf.github.io/osv-schema) that the index needs.
type report struct {
	ID       string `json:"id"`
	Affected []struct {
		Package struct {
			Name string `json:"name"`
		} `json:"package"`
	} `json:"affected"`
}

// entry is a module in the index (https://go.dev/doc/security/vuln/database). The optional fixed version is left out.
type entry struct {
	Path  string `json:"path"`
	Vulns []vuln `json:"vulns"`
}

type vuln struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: vulncheck VERSION DATABASE")
	}

	reports, at, err := download(args[0])
	if err != nil {
		return err
	}

	files, err := filepath.Glob(filepath.Join(reports, "*.json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("failed to find reports in %s: %d found: %w", reports, len(files), err)
	}

	for _, dir := range []string{"ID", "index"} {
		if err := os.MkdirAll(filepath.Join(args[1], dir), 0o755); err != nil {
			return err
		}
	}

	modules := map[string][]vuln{}

	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}

		var r report

		if err := json.Unmarshal(data, &r); err != nil {
			return fmt.Errorf("failed to read %s: %w", file, err)
		}

		for _, affected := range r.Affected {
			name := affected.Package.Name
			if !slices.ContainsFunc(modules[name], func(v vuln) bool { return v.ID == r.ID }) {
				modules[name] = append(modules[name], vuln{ID: r.ID, Modified: at})
			}
		}

		if err := os.WriteFile(filepath.Join(args[1], "ID", filepath.Base(file)), data, 0o644); err != nil {
			return err
		}
	}

	var index []entry

	for path, vulns := range modules {
		index = append(index, entry{Path: path, Vulns: vulns})
	}

	slices.SortFunc(index, func(a, b entry) int { return strings.Compare(a.Path, b.Path) })

	if err := write(filepath.Join(args[1], "index", "modules.json"), index); err != nil {
		return err
	}

	fmt.Printf("%d reports on %d modules, as of %s\n", len(files), len(index), at.Format(time.DateOnly))

	return write(filepath.Join(args[1], "index", "db.json"), map[string]time.Time{"modified": at})
}

// download returns the folder of the reports and the time of the module's version. The reports in the module have no times: the site
// takes those from git.
func download(version string) (string, time.Time, error) {
	out, err := exec.CommandContext(context.Background(), "go", "mod", "download", "-json", "golang.org/x/vulndb@"+version).Output()
	if err != nil {
		return "", time.Time{}, fmt.Errorf("failed to download the reports: %w: %s", err, out)
	}

	var module struct{ Dir, Info string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", time.Time{}, fmt.Errorf("failed to read the output of go mod download: %w", err)
	}

	data, err := os.ReadFile(module.Info)
	if err != nil {
		return "", time.Time{}, err
	}

	var info struct{ Time time.Time }
	if err := json.Unmarshal(data, &info); err != nil {
		return "", time.Time{}, fmt.Errorf("failed to read %s: %w", module.Info, err)
	}

	return filepath.Join(module.Dir, "data/osv"), info.Time, nil
}

func write(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}

	return os.WriteFile(path, data, 0o644)
}
