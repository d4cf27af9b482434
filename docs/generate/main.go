// SPDX-License-Identifier: MPL-2.0

// Command generate writes the references in docs from the code (make generate): the configuration's from the
// comments, defaults and bounds of pkg/config, the metrics' from internal/series, the margins from the default rules and the
// recordings of test/incident.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("out", "docs", "folder to write to")
	flag.Parse()

	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	configuration, err := configuration("pkg/config")
	if err != nil {
		return err
	}

	margins, err := margins()
	if err != nil {
		return err
	}

	metrics, err := metrics()
	if err != nil {
		return err
	}

	return errors.Join(
		os.WriteFile(filepath.Join(out, "configuration.md"), []byte(configuration), 0o644),
		os.WriteFile(filepath.Join(out, "metrics.md"), []byte(metrics), 0o644),
		os.WriteFile(filepath.Join(out, "margins.md"), []byte(margins), 0o644),
	)
}
