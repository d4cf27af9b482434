// SPDX-License-Identifier: MPL-2.0

// Package golden compares texts with files that the tests' flag -update writes.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files")

// Compare compares a text with that of a file, after Write.
func Compare(t *testing.T, path, got string) {
	t.Helper()

	Write(t, path, got)

	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the test with -update")
	require.Equal(t, string(want), got, "%s is stale: run the test with -update", path)
}

// Write writes a file if the flag -update is set.
func Write(t *testing.T, path, got string) {
	t.Helper()

	if !*update {
		return
	}

	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
}
