// SPDX-License-Identifier: MPL-2.0

// Command vulncheck writes a database for govulncheck from the reports in the module golang.org/x/vulndb. It is for machines that
// reach a module proxy but not the site of the database.
//
//	vulncheck REPORTS DATABASE    REPORTS is data/osv of the module
package main

import (
	"encoding/json"
	"fmt"
	"os"
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
	ID        string    `json:"id"`
	Modified  time.Time `json:"modified"`
	Published time.Time `json:"published"`
	Affected  []struct {
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
		return fmt.Errorf("usage: vulncheck REPORTS DATABASE")
	}

	files, err := filepath.Glob(filepath.Join(args[0], "*.json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("failed to find reports in %s: %d found: %w", args[0], len(files), err)
	}

	for _, dir := range []string{"ID", "index"} {
		if err := os.MkdirAll(filepath.Join(args[1], dir), 0o755); err != nil {
			return err
		}
	}

	modules := map[string][]vuln{}

	var newest time.Time

	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}

		var r report

		if err := json.Unmarshal(data, &r); err != nil {
			return fmt.Errorf("failed to read %s: %w", file, err)
		}

		if r.Published.After(newest) {
			newest = r.Published
		}

		for _, affected := range r.Affected {
			name := affected.Package.Name
			if !slices.ContainsFunc(modules[name], func(v vuln) bool { return v.ID == r.ID }) {
				modules[name] = append(modules[name], vuln{ID: r.ID, Modified: r.Modified})
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

	fmt.Printf("%d reports on %d modules, newest from %s\n", len(files), len(index), newest.Format(time.DateOnly))

	return write(filepath.Join(args[1], "index", "db.json"), map[string]time.Time{"modified": newest})
}

func write(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}

	return os.WriteFile(path, data, 0o644)
}
