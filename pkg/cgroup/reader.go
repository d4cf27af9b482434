//go:build linux

package cgroup

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Reader samples a cgroup's counters over files it keeps open: one pread each, no allocation.
type Reader struct {
	stat, memory *os.File
	path         string
	buf          [4096]byte
}

// NewReader opens the files to sample.
func (d *Dir) NewReader() (*Reader, error) {
	r := &Reader{path: d.path}

	var err error

	if r.stat, err = d.openFile("cpu.stat", unix.O_RDONLY); err != nil {
		return nil, err
	}

	// The memory controller may be off; memory is shown, not decided upon.
	r.memory, _ = d.openFile("memory.current", unix.O_RDONLY)

	return r, nil
}

// Close closes the files.
func (r *Reader) Close() error {
	if r.memory != nil {
		r.memory.Close() //nolint:errcheck // read only
	}

	return r.stat.Close()
}

// CPUStat reads cpu.stat. ErrGone when the cgroup was removed.
func (r *Reader) CPUStat() (CPUStat, error) {
	n, err := unix.Pread(int(r.stat.Fd()), r.buf[:], 0)
	if err != nil {
		return CPUStat{}, fmt.Errorf("error reading cpu.stat of cgroup %s: %w", r.path, gone(err))
	}

	stat, err := ParseCPUStat(r.buf[:n])
	if err != nil {
		return CPUStat{}, fmt.Errorf("error parsing cpu.stat of cgroup %s: %w", r.path, err)
	}

	return stat, nil
}

// MemoryCurrent reads memory.current in bytes; false when there is none.
func (r *Reader) MemoryCurrent() (uint64, bool) {
	if r.memory == nil {
		return 0, false
	}

	n, err := unix.Pread(int(r.memory.Fd()), r.buf[:], 0)
	if err != nil || n == 0 {
		return 0, false
	}

	return parseUint(r.buf[:n-1])
}
