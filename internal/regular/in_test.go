// SPDX-License-Identifier: MPL-2.0

//go:build linux

package regular_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/internal/regular"
)

// TestReadFileIn: a container decides what is below its root.
func TestReadFileIn(t *testing.T) {
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("the guard's"), 0o600))

	root := t.TempDir()
	in := func(name string) string { return filepath.Join(root, name) }

	require.NoError(t, os.WriteFile(in("good"), []byte("spegel"), 0o600))
	require.NoError(t, os.Symlink("/good", in("link")))
	require.NoError(t, os.Symlink(filepath.Join(outside, "secret"), in("outside")))
	require.NoError(t, os.Symlink("../../../../../../../../"+filepath.Join(outside, "secret"), in("up")))
	require.NoError(t, os.Symlink("/proc/self/root"+outside+"/secret", in("magic")))
	require.NoError(t, unix.Mkfifo(in("pipe"), 0o600))
	require.NoError(t, os.Mkdir(in("directory"), 0o700))

	sparse, err := os.Create(in("sparse"))
	require.NoError(t, err)
	require.NoError(t, sparse.Truncate(600<<20))
	require.NoError(t, sparse.Close())

	for name, want := range map[string]string{
		"good": "spegel", "link": "spegel", "outside": "", "up": "", "magic": "", "pipe": "", "directory": "", "sparse": "", "missing": "",
	} {
		t.Run(name, func(t *testing.T) {
			data, err := regular.ReadFileIn(root, name, 64)
			assert.Equal(t, want, string(data))
			assert.Equal(t, want == "", err != nil, "%v", err)
		})
	}
}

// TestReadFileIn_OpensNoFileOfProcfs: a read of /proc/kmsg consumes the kernel's log.
func TestReadFileIn_OpensNoFileOfProcfs(t *testing.T) {
	_, err := regular.ReadFileIn("/", "proc/version", 1<<10)
	assert.ErrorContains(t, err, "not a regular file")

	_, err = regular.ReadFileIn("/", "dev/null", 1<<10)
	assert.ErrorContains(t, err, "not a regular file")
}
