// SPDX-License-Identifier: MPL-2.0

// Command mkrelease writes the files of a release beside the extension's image: archives of spegelguardctl, their bills of
// materials and checksums, manifests of package managers, and the notes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/release"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mkrelease:", err)
		os.Exit(1)
	}
}

func run() error {
	tree := flag.String("tree", ".", "source tree")
	out := flag.String("out", "", "folder for the files")
	tag := flag.String("tag", "", "check that the tree is the release of this tag, and write nothing")
	notes := flag.Bool("notes", false, "print the notes, and write nothing")
	repository := flag.String("repository", "https://github.com/spegel-guard/spegel-guard", "address from whose releases the archives are downloaded")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	manifest, err := extension.ReadManifest(*tree)
	if err != nil {
		return err
	}

	changelog, err := os.ReadFile(filepath.Join(*tree, "CHANGELOG.md"))
	if err != nil {
		return fmt.Errorf("failed to read the changelog: %w", err)
	}

	found, err := release.NotesOf(string(changelog), manifest.Version)

	switch {
	case err != nil:
		return err
	case *tag != "":
		return release.CheckTag(*tag, manifest.Version, found)
	case *notes:
		fmt.Print(found.Text)

		return nil
	case *out == "":
		return errors.New("nothing to do: -out names no folder")
	default:
		return release.Write(ctx, *tree, *out, *repository, manifest.Version, found)
	}
}
