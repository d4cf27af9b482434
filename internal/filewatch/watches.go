// SPDX-License-Identifier: MPL-2.0

//go:build linux

package filewatch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
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

// mostAttempts is how often a path is followed again because it changed meanwhile.
const mostAttempts = 10

// mostLinks is the number of symbolic links on a path that the kernel follows: see path_resolution(7).
const mostLinks = 40

// add watches what decides on the content of a file, wherever the path leads. A change while it looks is followed again.
func add(watcher *fsnotify.Watcher, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}

	for range mostAttempts {
		if err = addPath(watcher, path); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}

	return err
}

// addPath follows a path as open(2) does. It watches the folder of the file, or the nearest one that exists, and the folders of the
// symbolic links on the way, each of which may be replaced. It watches the file, too: what is written to it at another mount is no
// event of the folder at this one. It returns fs.ErrNotExist if the path has changed meanwhile.
func addPath(watcher *fsnotify.Watcher, path string) error {
	folder, rest, links := "/", names(path), 0

	for len(rest) > 0 {
		next := filepath.Join(folder, rest[0])
		rest = rest[1:]

		info, err := os.Lstat(next)
		missing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)

		switch {
		case err != nil && !missing:
			return err
		case !missing && info.IsDir() && len(rest) > 0:
			folder = next

			continue
		}

		// Its content is read after the watch, so that a change in between is not missed.
		if err := watcher.Add(folder); err != nil {
			return err
		}

		again, err := os.Lstat(next)

		switch {
		case missing && err != nil:
			return nil
		case err != nil || missing || again.Mode().Type() != info.Mode().Type():
			return fs.ErrNotExist
		case info.Mode().Type() == fs.ModeSymlink:
			target, err := os.Readlink(next)
			if err != nil {
				return err
			}

			if links++; links > mostLinks {
				return unix.ELOOP
			}

			if filepath.IsAbs(target) {
				folder = "/"
			}

			rest = append(names(target), rest...)
		case info.Mode().IsRegular():
			// A pipe or a device is not watched: only its folder has an event when it is replaced.
			return watcher.Add(next)
		default:
			return nil
		}
	}

	return nil
}

// names returns the elements of a path.
func names(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }
