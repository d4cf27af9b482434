// SPDX-License-Identifier: MPL-2.0

//go:build linux

package filewatch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// open watches what decides on the content of the files.
func open(paths []string) (*notifier, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("failed to watch files: %w", err)
	}

	for _, path := range paths {
		if err := add(watcher, path); err != nil {
			watcher.Close() //nolint:errcheck // unused

			return nil, fmt.Errorf("failed to watch %s: %w", path, err)
		}
	}

	return &notifier{events: watcher.Events, errors: watcher.Errors, close: watcher.Close}, nil
}

// add watches the folder of a file, or the nearest one that exists, and the folders of the symbolic links on the way, one of which
// may be replaced. It watches the file, too: what is written to it at another mount is no event of the folder at this one.
func add(watcher *fsnotify.Watcher, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}

	for {
		missing, err := addFolder(watcher, filepath.Dir(path))
		if err != nil {
			return err
		}

		// A folder may have been made between the attempts.
		if _, err := os.Lstat(missing); missing == "" || err != nil {
			break
		}
	}

	for link := path; link != filepath.Dir(link); link = filepath.Dir(link) {
		if info, err := os.Lstat(link); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			if err := watcher.Add(filepath.Dir(link)); err != nil {
				return err
			}
		}
	}

	// A pipe or a device is not watched: only its folder tells that it is replaced.
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		if err := watcher.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}

	return nil
}

// addFolder watches a folder or its nearest ancestor that exists. It returns the child of that one on the path, empty if the folder
// exists.
func addFolder(watcher *fsnotify.Watcher, folder string) (missing string, err error) {
	for {
		err := watcher.Add(folder)

		switch {
		case err == nil:
			return missing, nil
		case !errors.Is(err, fs.ErrNotExist), folder == filepath.Dir(folder):
			return "", err
		}

		missing, folder = folder, filepath.Dir(folder)
	}
}
