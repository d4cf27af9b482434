// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package nodestat reads facts of a node that relate to spegel's load: content store, disk, physical links and NFS.
package nodestat

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Usage of a content store.
type Usage struct {
	// Blobs that are complete, and their size in bytes. Downloads in progress (ingest) do not count.
	Blobs, Bytes uint64
}

// Content is a containerd content store (plugins/content/local). Its files are blobs/<algorithm>/<digest>. containerd moves
// a file there when it is complete, so that it never changes.
type Content struct {
	root  string
	known map[string]directory
}

// directory is the usage of a directory when it was last read.
type directory struct {
	usage    Usage
	modified time.Time
	// device and inode change when another file system is mounted over the directory.
	device, inode uint64
	// settled: a file added after the reading changes the time of modification, because that was older than its
	// granularity.
	settled bool
}

// NewContent returns the store at a path, which usually ends in io.containerd.content.v1.content.
func NewContent(root string) *Content { return &Content{root: root, known: map[string]directory{}} }

// Usage counts the blobs. It does not read a directory again that did not change.
func (c *Content) Usage() (Usage, error) {
	algorithms, err := os.ReadDir(filepath.Join(c.root, "blobs"))
	if err != nil {
		return Usage{}, fmt.Errorf("failed to read the content store: %w", err)
	}

	var sum Usage

	for _, algorithm := range algorithms {
		usage, err := c.directory(filepath.Join(c.root, "blobs", algorithm.Name()))
		if err != nil {
			return Usage{}, fmt.Errorf("failed to read the content store: %w", err)
		}

		sum.Blobs += usage.Blobs
		sum.Bytes += usage.Bytes
	}

	return sum, nil
}

// granularity is larger than the step of file times, the kernel's tick.
const granularity = 2 * time.Second

func (c *Content) directory(path string) (Usage, error) {
	dir, err := os.Open(path)
	if err != nil {
		return Usage{}, err
	}

	defer dir.Close() //nolint:errcheck // read only

	info, err := dir.Stat()
	if err != nil {
		return Usage{}, err
	}

	var device, inode uint64

	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		device, inode = uint64(stat.Dev), stat.Ino //nolint:unconvert // 32 bits wide on some architectures
	}

	if known := c.known[path]; known.settled && known.modified.Equal(info.ModTime()) && known.device == device && known.inode == inode {
		return known.usage, nil
	}

	usage, err := count(dir)
	if err != nil {
		return Usage{}, err
	}

	c.known[path] = directory{
		usage: usage, modified: info.ModTime(), device: device, inode: inode, settled: time.Since(info.ModTime()) > granularity,
	}

	return usage, nil
}

// count reads a directory in pieces, because it may have many thousands of blobs.
func count(dir *os.File) (Usage, error) {
	const piece = 256

	var usage Usage

	for {
		entries, err := dir.ReadDir(piece)

		for _, entry := range entries {
			info, err := entry.Info()

			switch {
			case errors.Is(err, fs.ErrNotExist): // removed after it was listed
			case err != nil:
				return Usage{}, err
			case info.Mode().IsRegular():
				usage.Blobs++
				usage.Bytes += uint64(info.Size())
			}
		}

		switch {
		case errors.Is(err, io.EOF):
			return usage, nil
		case err != nil:
			return Usage{}, err
		}
	}
}

// Disk is the usage of a file system, in bytes.
type Disk struct {
	Total, Used uint64
	// Available to users. A file system may reserve a part for root.
	Available uint64
}

// Ratio returns the used share of what users may use, 0..1, as df's Use%.
func (d Disk) Ratio() float64 {
	if d.Used+d.Available == 0 {
		return 0
	}

	return float64(d.Used) / float64(d.Used+d.Available)
}

// ReadDisk reads the usage of the file system at a path (statfs(2)).
func ReadDisk(path string) (Disk, error) {
	var stat unix.Statfs_t

	if err := unix.Statfs(path, &stat); err != nil {
		return Disk{}, fmt.Errorf("failed to read the usage of the file system: %w", &fs.PathError{Op: "statfs", Path: path, Err: err})
	}

	block := uint64(stat.Frsize)

	return Disk{Total: stat.Blocks * block, Used: (stat.Blocks - stat.Bfree) * block, Available: stat.Bavail * block}, nil
}
