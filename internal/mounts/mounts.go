// SPDX-License-Identifier: MPL-2.0

// Package mounts reads the mounts of a process from procfs. Users of the node decide what many of the mounts are called and how
// long their lines are, so that a line that cannot be read costs itself only.
package mounts

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync"

	"github.com/spegel-guard/spegel-guard/internal/regular"
)

const (
	// maxLine is how much of a line is kept. What is read stands before the options of the file system, which have any length
	// (an overlay names each of its layers): two paths of 4 kB, of which each byte may be escaped as \040.
	maxLine = 64 << 10
	// maxFile bounds the time of one reading. A file has about 300 bytes for each mount.
	maxFile = 64 << 20
)

// Mount is a line of /proc/<pid>/mountinfo (proc_pid_mountinfo(5)). Its paths are escaped as the kernel shows them.
type Mount struct {
	// Device is the number of the file system, major:minor. Bind mounts of one file system share it.
	Device string
	// Root is the directory of the file system that is mounted, and Point where.
	Root, Point string
	// Type of the file system.
	Type string
}

// Info reads a mountinfo file. The error names what could not be read; the mounts are all others.
func Info(path string) ([]Mount, error) {
	file, _, err := regular.Open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("failed to read the mounts: %w", err)
	}

	defer file.Close() //nolint:errcheck // read only

	var (
		mounts  []Mount
		skipped Skipped
	)

	for line, err := range Lines(file) {
		// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)

		switch {
		case err != nil:
			skipped.Add(fmt.Errorf("failed to read %s to its end: %w", path, err))
		case !ok || len(fields) < 5:
			skipped.Add(fmt.Errorf("failed to parse the line %.100q of %s", line, path))
		default:
			fstype, _, _ := strings.Cut(after, " ")
			mounts = append(mounts, Mount{Device: fields[2], Root: fields[3], Point: fields[4], Type: fstype})
		}
	}

	return mounts, skipped.Err()
}

// readers have buffers of maxLine, which would be most of the garbage of an idle guard.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, maxLine) }}

// Lines returns the lines of a file of mounts without their ends. It cuts off lines above 64 kB and stops after 64 MB, with an
// error.
func Lines(r io.Reader) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		limited := &io.LimitedReader{R: r, N: maxFile + 1}
		reader := readers.Get().(*bufio.Reader) //nolint:forcetypeassert // the pool has no other type
		reader.Reset(limited)

		defer readers.Put(reader)

		for {
			part, err := reader.ReadSlice('\n')
			line := strings.TrimSuffix(string(part), "\n")

			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = reader.ReadSlice('\n')
			}

			switch {
			case err == nil:
			case limited.N <= 0:
				yield("", fmt.Errorf("more than %d bytes", maxFile))

				return
			case !errors.Is(err, io.EOF):
				yield("", err)

				return
			}

			if (err == nil || line != "") && !yield(line, nil) || err != nil {
				return
			}
		}
	}
}
