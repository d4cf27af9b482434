// SPDX-License-Identifier: MPL-2.0

package release

import (
	"archive/zip"
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPack_ZipForWindows(t *testing.T) {
	files := map[string]File{"spegelguardctl.exe": {Data: []byte("MZ"), Mode: 0o755}, "LICENSE": {Data: []byte("text"), Mode: 0o644}}

	data, err := pack(files, "windows")
	require.NoError(t, err)

	again, err := pack(files, "windows")
	require.NoError(t, err)
	assert.Equal(t, data, again)

	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	require.Len(t, archive.File, 2)
	assert.Equal(t, "LICENSE", archive.File[0].Name)
	assert.Equal(t, "spegelguardctl.exe", archive.File[1].Name)

	file, err := archive.File[1].Open()
	require.NoError(t, err)

	content, err := io.ReadAll(file)
	require.NoError(t, err)
	assert.Equal(t, "MZ", string(content))
}

func TestPack_TarIsReproducible(t *testing.T) {
	files := map[string]File{"b": {Data: []byte("b"), Mode: 0o755}, "a": {Data: []byte("a"), Mode: 0o644}}

	data, err := pack(files, "linux")
	require.NoError(t, err)

	again, err := pack(files, "linux")
	require.NoError(t, err)
	assert.Equal(t, data, again)
}
