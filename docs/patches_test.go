// SPDX-License-Identifier: MPL-2.0

package docs_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/test/doc"
)

// TestPatches_AreAcceptedByTalos: the files that commands apply to the machine configuration exist, and Talos' loader accepts them.
func TestPatches_AreAcceptedByTalos(t *testing.T) {
	count := 0

	for _, document := range all(t) {
		for _, command := range document.Commands() {
			for _, word := range doc.Words(command.Line) {
				path, isFile := strings.CutPrefix(word, "@")

				// Files without a folder are written by an earlier command.
				if !isFile || !strings.Contains(path, "/") {
					continue
				}

				_, err := configloader.NewFromFile(filepath.Join(root, path))
				assert.NoError(t, err, "%s: %s", document.Path, command.Line)

				count++
			}
		}
	}

	assert.GreaterOrEqual(t, count, 3)
}
