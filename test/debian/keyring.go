// SPDX-License-Identifier: MPL-2.0

package debian

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spegel-guard/spegel-guard/test/artifacts"
)

const (
	keyringFolder  = "usr/share/keyrings"
	keyringPackage = "debian-archive-keyring"
)

// findKeyring returns the file with the archive keys of the suite's release.
//
// It is the keyring of the host if that has the keys. Otherwise the host's apt downloads the newest keyring package of the
// host's release and verifies it with the keys that the host trusts. The host's keyring is not changed.
func findKeyring(ctx context.Context, dir, suite string) (string, error) {
	return keyringBelow(ctx, "/", dir, suite)
}

func keyringBelow(ctx context.Context, host, dir, suite string) (string, error) {
	if keyring, ok := keyringOf(host, suite); ok {
		return keyring, nil
	}

	download := filepath.Join(dir, "keyring")

	if err := os.Mkdir(download, 0o755); err != nil {
		return "", err
	}

	get := exec.CommandContext(ctx, "apt-get", "download", "-qq", keyringPackage)
	get.Dir = download

	if _, err := artifacts.Output(get); err != nil {
		return "", fmt.Errorf("this machine has no archive keys of Debian %s: install a newer %s, or run apt-get update: %w",
			release(suite), keyringPackage, err)
	}

	archives, err := filepath.Glob(filepath.Join(download, "*.deb"))
	if err != nil || len(archives) != 1 {
		return "", fmt.Errorf("apt-get download %s left %d packages, expected one", keyringPackage, len(archives))
	}

	if _, err := artifacts.Output(exec.CommandContext(ctx, "dpkg-deb", "-x", archives[0], download)); err != nil {
		return "", err
	}

	keyring, ok := keyringOf(download, suite)
	if !ok {
		return "", fmt.Errorf("the %s of this machine's release has no keys of Debian %s: install a newer one",
			keyringPackage, release(suite))
	}

	return keyring, nil
}

// keyringOf returns the keyring below root. The package has a file with all keys and one for each release, whose name shows
// whether the release is covered.
func keyringOf(root, suite string) (string, bool) {
	folder := filepath.Join(root, keyringFolder)

	for _, extension := range []string{"gpg", "pgp"} {
		_, stable := os.Stat(filepath.Join(folder, "debian-archive-"+release(suite)+"-stable."+extension))
		all := filepath.Join(folder, keyringPackage+"."+extension)

		if _, err := os.Stat(all); err == nil && stable == nil {
			return all, true
		}
	}

	return "", false
}
