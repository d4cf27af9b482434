// SPDX-License-Identifier: MPL-2.0

// Package release makes the files of a release beside the extension's image: archives of spegelguardctl with its manual and
// completions, checksums, manifests of package managers, and notes.
package release

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// ErrNoNotes says that the changelog has no notes for a version.
var ErrNoNotes = errors.New("no notes in CHANGELOG.md")

// heading of a version: "## 0.1.0 (2026-12-01)", or "(unreleased)".
var heading = regexp.MustCompile(`^## v?(\S+) \((\S+)\)$`)

// Notes are what the changelog says of a version.
type Notes struct {
	// Text is Markdown without the heading.
	Text string
	// Date of the release; the zero time while it is unreleased.
	Date time.Time
}

// NotesOf returns the notes of a version, with or without its v. The error is ErrNoNotes if there are none.
func NotesOf(changelog, version string) (Notes, error) {
	version = strings.TrimPrefix(version, "v")

	var (
		notes Notes
		lines []string
		found bool
	)

	for line := range strings.Lines(changelog) {
		line = strings.TrimRight(line, "\r\n")

		switch match := heading.FindStringSubmatch(line); {
		case match != nil && match[1] == version:
			found = true

			if match[2] == "unreleased" {
				continue
			}

			date, err := time.Parse(time.DateOnly, match[2])
			if err != nil {
				return Notes{}, fmt.Errorf("invalid date %q of version %s in CHANGELOG.md: must be YYYY-MM-DD or unreleased", match[2], version)
			}

			notes.Date = date
		case strings.HasPrefix(line, "## ") && found:
			return notes.with(lines, version)
		case found:
			lines = append(lines, line)
		}
	}

	if !found {
		return Notes{}, fmt.Errorf("%w: add a section \"## %s (YYYY-MM-DD)\"", ErrNoNotes, version)
	}

	return notes.with(lines, version)
}

func (n Notes) with(lines []string, version string) (Notes, error) {
	n.Text = strings.TrimSpace(strings.Join(lines, "\n"))
	if n.Text == "" {
		return Notes{}, fmt.Errorf("%w: the section of %s is empty", ErrNoNotes, version)
	}

	n.Text += "\n"

	return n, nil
}
