// SPDX-License-Identifier: MPL-2.0

package image_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/extension/image"
)

func TestWriteRecords(t *testing.T) {
	made, manifest := built(t)

	index, err := image.Index(manifest, made)
	require.NoError(t, err)

	dir := filepath.Join(t.TempDir(), "release")
	require.NoError(t, image.WriteRecords(dir, "ghcr.io/you/spegel-guard", index, map[string]v1.Image{runtime.GOARCH: made}))

	for name, of := range map[string]interface{ Digest() (v1.Hash, error) }{"spegel-guard.image": index, "spegel-guard-" + runtime.GOARCH + ".image": made} {
		digest, err := of.Digest()
		require.NoError(t, err)

		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.Equal(t, "ghcr.io/you/spegel-guard@"+digest.String()+"\n", string(text), name)
	}

	bill, err := os.ReadFile(filepath.Join(dir, "spegel-guard-"+runtime.GOARCH+".spdx.json"))
	require.NoError(t, err)

	document, err := spdxjson.Read(bytes.NewReader(bill))
	require.NoError(t, err)
	assert.Equal(t, "spegel-guard-"+manifest.Version+"-"+runtime.GOARCH, document.DocumentName)
}
