// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package nodestat reads what a node has of the things that spegel's load comes from and shows on:
// content blobs, disk, physical links, NFS.
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
	// Blobs that are complete, and their size in bytes. What is still being fetched (ingest) is left out.
	Blobs, Bytes uint64
}

// Content is a containerd content store (plugins/content/local): blobs/<algorithm>/<digest>, written
// elsewhere and moved there when complete, so that a file there never changes.
type Content struct {
	root  string
	known map[string]folder
}

// folder is what one was found to hold.
type folder struct {
	usage    Usage
	modified time.Time
	// device and inode tell it from another file system's, mounted over it since.
	device, inode uint64
	// settled tells that the time of modification had passed when the folder was read: what came after
	// has changed it.
	settled bool
}

// NewContent returns the store at a path, which usually ends in io.containerd.content.v1.content.
func NewContent(root string) *Content { return &Content{root: root, known: map[string]folder{}} }

// Usage counts the blobs. A folder that did not change since the last time is not read again.
func (c *Content) Usage() (Usage, error) {
	algorithms, err := os.ReadDir(filepath.Join(c.root, "blobs"))
	if err != nil {
		return Usage{}, fmt.Errorf("error reading the content store: %w", err)
	}

	var sum Usage

	for _, algorithm := range algorithms {
		usage, err := c.folder(filepath.Join(c.root, "blobs", algorithm.Name()))
		if err != nil {
			return Usage{}, fmt.Errorf("error reading the content store: %w", err)
		}

		sum.Blobs += usage.Blobs
		sum.Bytes += usage.Bytes
	}

	return sum, nil
}

// granularity is more than the coarsest step of file times: the kernel's tick.
const granularity = 2 * time.Second

func (c *Content) folder(path string) (Usage, error) {
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

	c.known[path] = folder{
		usage: usage, modified: info.ModTime(), device: device, inode: inode, settled: time.Since(info.ModTime()) > granularity,
	}

	return usage, nil
}

// count reads a folder in pieces: there may be many thousands of blobs.
func count(dir *os.File) (Usage, error) {
	const piece = 256

	var usage Usage

	for {
		entries, err := dir.ReadDir(piece)

		for _, entry := range entries {
			info, err := entry.Info()

			switch {
			case errors.Is(err, fs.ErrNotExist): // it was removed since
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
	// Available to users: the file system may keep a part for root.
	Available uint64
}

// Ratio of what is used to what users may use, 0..1; df's Use%.
func (d Disk) Ratio() float64 {
	if d.Used+d.Available == 0 {
		return 0
	}

	return float64(d.Used) / float64(d.Used+d.Available)
}

// ReadDisk asks for the file system that a path is on (statfs(2)).
func ReadDisk(path string) (Disk, error) {
	var stat unix.Statfs_t

	if err := unix.Statfs(path, &stat); err != nil {
		return Disk{}, fmt.Errorf("error reading the file system's usage: %w", &fs.PathError{Op: "statfs", Path: path, Err: err})
	}

	block := uint64(stat.Frsize)

	return Disk{Total: stat.Blocks * block, Used: (stat.Blocks - stat.Bfree) * block, Available: stat.Bavail * block}, nil
}
