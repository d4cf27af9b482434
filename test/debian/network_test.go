// SPDX-License-Identifier: MPL-2.0

package debian

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// needDebian skips a test that uses Debian's mirror, except in make test-harness.
func needDebian(t *testing.T) {
	t.Helper()

	if os.Getenv("SPEGEL_GUARD_SELFTEST") == "" {
		t.Skip("fetches packages from Debian's mirror (make test-harness)")
	}
}

func TestUnpack_ResolvesDependencies(t *testing.T) {
	needDebian(t)

	cache := t.TempDir()

	root, err := Unpack(t.Context(), cache, Trixie, "none-such | dmsetup")
	require.NoError(t, err)
	assert.FileExists(t, filepath.Join(root, "usr/sbin/dmsetup"))
	assert.FileExists(t, filepath.Join(root, "usr/lib/x86_64-linux-gnu/libc.so.6"), "of a package that dmsetup depends on")

	only, err := UnpackOnly(t.Context(), cache, Trixie, "dmsetup")
	require.NoError(t, err)
	assert.NotEqual(t, root, only)
	assert.FileExists(t, filepath.Join(only, "usr/sbin/dmsetup"))
	assert.NoDirExists(t, filepath.Join(only, "usr/lib/x86_64-linux-gnu"))

	left, err := filepath.Glob(filepath.Join(cache, "debian", ".apt-*"))
	require.NoError(t, err)
	assert.Empty(t, left, "apt's working folders are removed")
}

func TestUnpack_UnknownPackageFails(t *testing.T) {
	needDebian(t)

	_, err := UnpackOnly(t.Context(), t.TempDir(), Trixie, "spegel-guard-none-such")
	assert.ErrorContains(t, err, "Unable to locate package")
}

func TestNewClient_RejectsUnknownSignature(t *testing.T) {
	needDebian(t)

	keyring := filepath.Join(t.TempDir(), "empty.gpg")
	require.NoError(t, os.WriteFile(keyring, nil, 0o644))

	_, err := newClient(t.Context(), t.TempDir(), Trixie, keyring)
	assert.ErrorContains(t, err, "is not signed")
}

func TestKeyringBelow_FetchesMissingKeys(t *testing.T) {
	needDebian(t)

	dir := t.TempDir()

	keyring, err := keyringBelow(t.Context(), filepath.Join(dir, "host-without-keys"), dir, Trixie)
	require.NoError(t, err)

	_, err = newClient(t.Context(), t.TempDir(), Trixie, keyring)
	assert.NoError(t, err)
}
