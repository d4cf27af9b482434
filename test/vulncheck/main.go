// SPDX-License-Identifier: MPL-2.0

// Command vulncheck lays Go's vulnerability reports out as a database that govulncheck reads, from the module
// that they are published in (golang.org/x/vulndb): where only a module proxy can be reached, the database's own
// site cannot.
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

// report is the part of one (https://ossf.github.io/osv-schema) that the index is made of.
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

// entry of a module in the index (https://go.dev/doc/security/vuln/database). What fixes a report is left out of
// it: that is for skipping reports before they are read.
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

	fmt.Printf("%d reports on %d modules, the newest of %s\n", len(files), len(index), newest.Format(time.DateOnly))

	return write(filepath.Join(args[1], "index", "db.json"), map[string]time.Time{"modified": newest})
}

func write(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}

	return os.WriteFile(path, data, 0o644)
}
