// SPDX-License-Identifier: MPL-2.0

// Package debian fetches packages of a Debian release and unpacks them into the cache.
//
// Nothing is installed: apt runs with its own configuration, package lists and archives, so the host may have any release and
// is not changed. apt verifies the packages with Debian's archive keys.
package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spegel-guard/spegel-guard/test/artifacts"
)

// Releases of the packages.
const (
	// Trixie is Debian 13.
	Trixie = "trixie"
	// TrixieBackports has newer versions of some packages. Their dependencies may come from Trixie.
	TrixieBackports = "trixie-backports"
)

// Unpack returns a folder with the files of the packages and their dependencies, without recommended packages.
//
// A package is a name, or alternatives separated by "|" of which the first in the release is used. A "*" in a name matches any
// text, and the newest name that matches is used.
//
// The name of the folder depends on the contents of the packages, so it can be the key of a cache. A second call needs no
// network. To get newer packages, remove the folder "debian" of the cache.
func Unpack(ctx context.Context, cache, suite string, packages ...string) (string, error) {
	return unpack(ctx, cache, request{suite: suite, packages: packages, dependencies: true})
}

// UnpackOnly is like Unpack without dependencies.
func UnpackOnly(ctx context.Context, cache, suite string, packages ...string) (string, error) {
	return unpack(ctx, cache, request{suite: suite, packages: packages})
}

// request describes the packages to unpack.
type request struct {
	suite        string
	packages     []string
	dependencies bool
}

// key returns a hash of the request.
func (r request) key() string {
	return digest(fmt.Sprintf("%s\n%t\n%s\n", r.suite, r.dependencies, strings.Join(r.packages, "\n")))
}

func unpack(ctx context.Context, cache string, req request) (string, error) {
	if len(req.packages) == 0 {
		return "", errors.New("failed to unpack Debian packages: no package is named")
	}

	base := filepath.Join(cache, "debian")
	answer := filepath.Join(base, "requests", req.key())

	if list, err := os.ReadFile(answer); err == nil {
		if root := rootFolder(base, string(list)); isFolder(root) {
			return root, nil
		}
	}

	root, list, err := fetch(ctx, base, req)
	if err != nil {
		return "", fmt.Errorf("failed to fetch %s of Debian %s: %w", strings.Join(req.packages, ", "), req.suite, err)
	}

	return root, writeFile(answer, list)
}

// fetch downloads and unpacks the packages. It returns their folder and the list of their files.
func fetch(ctx context.Context, base string, req request) (root, list string, err error) {
	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", "", err
	}

	work, err := os.MkdirTemp(base, ".apt-")
	if err != nil {
		return "", "", err
	}

	defer os.RemoveAll(work) //nolint:errcheck

	keyring, err := findKeyring(ctx, work, req.suite)
	if err != nil {
		return "", "", err
	}

	client, err := newClient(ctx, work, req.suite, keyring)
	if err != nil {
		return "", "", err
	}

	args, err := client.arguments(ctx, req)
	if err != nil {
		return "", "", err
	}

	files, err := client.resolve(ctx, args)
	if err != nil {
		return "", "", err
	}

	list = files.String()
	root = rootFolder(base, list)

	err = artifacts.BuildOnce(root, func(tmp string) error {
		if _, err := client.run(ctx, "apt-get", args...); err != nil {
			return err
		}

		for _, file := range files {
			archive := filepath.Join(client.archives(), file.name)

			if _, err := artifacts.Output(exec.CommandContext(ctx, "dpkg-deb", "-x", archive, tmp)); err != nil {
				return err
			}
		}

		// A temporary folder is readable only by its owner. Programs of other users read this one.
		return os.Chmod(tmp, 0o755)
	})

	return root, list, err
}

// rootFolder returns the folder of the unpacked packages of a list.
func rootFolder(base, list string) string {
	return filepath.Join(base, "roots", digest(list))
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))

	return hex.EncodeToString(sum[:8])
}

func isFolder(path string) bool {
	info, err := os.Stat(path)

	return err == nil && info.IsDir()
}

// writeFile replaces a file atomically.
func writeFile(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}

	file, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return err
	}

	defer os.Remove(file.Name()) //nolint:errcheck // gone after the rename

	if _, err := file.WriteString(text); err != nil {
		file.Close() //nolint:errcheck

		return err
	}

	if err := file.Close(); err != nil {
		return err
	}

	return os.Rename(file.Name(), name)
}
