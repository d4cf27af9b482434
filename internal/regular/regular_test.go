// SPDX-License-Identifier: MPL-2.0

package regular_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/regular"
)

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	file := func(content string) string {
		path := filepath.Join(dir, "file")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))

		return path
	}

	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))

	for name, test := range map[string]struct {
		path, want, err string
	}{
		"as long as allowed": {path: file("12345678"), want: "12345678"},
		"missing":            {path: filepath.Join(dir, "missing"), err: "no such file"},
		"directory":          {path: dir, err: "not a regular file"},
		"pipe":               {path: fifo, err: "not a regular file"},
		"endless device":     {path: "/dev/zero", err: "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := regular.ReadFile(test.path, 8)

			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				assert.Equal(t, name == "missing", os.IsNotExist(err))

				return
			}

			require.NoError(t, err)
			assert.Equal(t, test.want, string(data))
		})
	}

	_, err := regular.ReadFile(file("123456789"), 8)
	assert.ErrorContains(t, err, "too large: more than 8 bytes")
}
