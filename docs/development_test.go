// SPDX-License-Identifier: MPL-2.0

package docs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDevelopment_NamesFoldersOfTests: a folder that nobody knows of is not used again.
func TestDevelopment_NamesFoldersOfTests(t *testing.T) {
	text, err := os.ReadFile("development.md")
	require.NoError(t, err)

	folders, err := os.ReadDir(filepath.Join(root, "test"))
	require.NoError(t, err)

	for _, folder := range folders {
		assert.Regexp(t, "`test/"+folder.Name()+"[`/]", string(text))
	}
}
