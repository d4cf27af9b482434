// SPDX-License-Identifier: MPL-2.0

package release

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// NotesFile has the notes, and SumsFile the checksums of the archives, bills and manifests.
const (
	NotesFile = "notes.md"
	SumsFile  = "checksums.txt"
)

// CheckTag returns an error if a tag is not the release of a version with notes.
func CheckTag(tag, version string, notes Notes) error {
	if tag != version {
		return fmt.Errorf("the tag %q is not the version of manifest.yaml, %q: change one of them", tag, version)
	}

	if notes.Date.IsZero() {
		return fmt.Errorf("version %s is unreleased in CHANGELOG.md: replace (unreleased) by the date (YYYY-MM-DD)", version)
	}

	return nil
}

// Write builds a release from a source tree and writes its files to a folder.
func Write(ctx context.Context, tree, out, repository, version string, notes Notes) error {
	documents, err := Documents(ctx, tree, version, notes.Date)
	if err != nil {
		return err
	}

	files, artifacts := map[string][]byte{}, []Artifact{}

	for _, platform := range Platforms {
		artifact, err := Build(ctx, tree, version, platform, documents)
		if err != nil {
			return err
		}

		artifacts = append(artifacts, artifact)
		files[artifact.Name] = artifact.Data
		files[platform.fileName(version, ".spdx.json")] = artifact.Bill
	}

	manifests, err := Manifests(repository, version, artifacts)
	if err != nil {
		return err
	}

	maps.Copy(files, manifests)

	files[SumsFile] = sums(files)
	files[NotesFile] = []byte(notes.Text)

	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("failed to create the folder: %w", err)
	}

	for name, data := range files {
		if err := os.WriteFile(filepath.Join(out, name), data, 0o644); err != nil {
			return fmt.Errorf("failed to write a file of the release: %w", err)
		}
	}

	return nil
}

// sums returns checksums in the form of sha256sum.
func sums(files map[string][]byte) []byte {
	var text strings.Builder

	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&text, "%s  %s\n", Artifact{Data: files[name]}.Sum(), name)
	}

	return []byte(text.String())
}
