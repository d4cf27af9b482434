// SPDX-License-Identifier: MPL-2.0

package release_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/release"
)

const tree = ".."

func TestNotesOf(t *testing.T) {
	const changelog = "# Changelog\n\n## 0.2.0 (unreleased)\n\nNext.\n\n## 0.1.1 (2026-12-24)\r\n\r\n- Fix.\r\n\n### More\n\n- a\n\n## 0.1.0 (2026-12-01)\n\nThe first.\n\n" +
		"## 0.0.9 (soon)\n\nx\n\n## 0.0.8 (2026-01-01)\n\n"

	for name, test := range map[string]struct {
		version, text, date, want string
	}{
		"unreleased":   {version: "v0.2.0", text: "Next.\n", date: "0001-01-01"},
		"with parts":   {version: "v0.1.1", text: "- Fix.\n\n### More\n\n- a\n", date: "2026-12-24"},
		"without v":    {version: "0.1.0", text: "The first.\n", date: "2026-12-01"},
		"missing":      {version: "v0.3.0", want: `add a section "## 0.3.0 (YYYY-MM-DD)"`},
		"part of one":  {version: "v0.1", want: "no notes"},
		"invalid date": {version: "v0.0.9", want: `invalid date "soon" of version 0.0.9`},
		"empty":        {version: "v0.0.8", want: "the section of 0.0.8 is empty"},
		"with a dot":   {version: "v0.1.", want: "no notes"},
	} {
		t.Run(name, func(t *testing.T) {
			notes, err := release.NotesOf(changelog, test.version)

			if test.want != "" {
				require.ErrorContains(t, err, test.want)

				return
			}

			require.NoError(t, err)
			assert.Equal(t, test.text, notes.Text)
			assert.Equal(t, test.date, notes.Date.Format(time.DateOnly))
		})
	}
}

func TestNotesOf_CurrentVersion(t *testing.T) {
	manifest, err := extension.ReadManifest(tree)
	require.NoError(t, err)

	changelog, err := os.ReadFile(tree + "/CHANGELOG.md")
	require.NoError(t, err)

	notes, err := release.NotesOf(string(changelog), manifest.Version)
	require.NoError(t, err)
	assert.Contains(t, notes.Text, "- ")
}
