// SPDX-License-Identifier: MPL-2.0

//go:build linux

package image_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/extension/sbom"
	"github.com/spegel-guard/spegel-guard/test/golden"
)

const licences = tree + "/docs/licences.md"

// TestLicences_AreListed compares docs/licences.md with the modules that are linked into the daemon.
func TestLicences_AreListed(t *testing.T) {
	made, manifest := built(t)

	binary, err := os.Open(filepath.Join(unpacked(t, made, manifest), extension.RootfsFolder, extension.BinaryPath))
	require.NoError(t, err)

	defer binary.Close()

	modules, err := sbom.Modules(t.Context(), tree, binary)
	require.NoError(t, err)

	var text strings.Builder

	text.WriteString("# Licences of the image\n\n" +
		"The modules that are linked into the daemon, and their licences as detected by\n" +
		"[licensecheck](https://github.com/google/licensecheck). The image's bill of materials has the same list.\n" +
		"`go test ./extension/image -run Licences -update` writes this document.\n\n| module | licence |\n|---|---|\n")

	for _, module := range modules {
		assert.NotEqual(t, sbom.NoAssertion, module.Licence, module.Path)
		fmt.Fprintf(&text, "| %s | %s |\n", module.Path, module.Licence)
	}

	golden.Compare(t, licences, text.String())
}
