// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Reader samples a cgroup's counters over files it keeps open: one pread each, no allocation.
type Reader struct {
	stat, pressure             *kept
	memory, peak, events, pids *kept
	path                       string
	buf                        [4096]byte
}

// kept is an open file. Asking an os.File for its descriptor costs a system call each time.
type kept struct {
	file *os.File
	fd   int
}

func (d *Dir) keep(name string) (*kept, error) {
	file, err := d.openFile(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}

	return &kept{file: file, fd: int(file.Fd())}, nil
}

// NewReader opens the files to sample.
func (d *Dir) NewReader() (*Reader, error) {
	r := &Reader{path: d.path}

	var err error

	if r.stat, err = d.keep("cpu.stat"); err != nil {
		return nil, err
	}

	// The others are shown, not decided upon, and their controller may be off: memory.peak needs Linux
	// 5.19, cpu.pressure pressure stall information (psi=0, or cgroup.pressure, turn it off).
	r.pressure, _ = d.keep("cpu.pressure")
	r.memory, _ = d.keep("memory.current")
	r.peak, _ = d.keep("memory.peak")
	r.events, _ = d.keep("memory.events")
	r.pids, _ = d.keep("pids.current")

	return r, nil
}

// Close closes the files.
func (r *Reader) Close() error {
	for _, kept := range []*kept{r.pressure, r.memory, r.peak, r.events, r.pids} {
		if kept != nil {
			kept.file.Close() //nolint:errcheck // read only
		}
	}

	return r.stat.file.Close()
}

// CPUStat reads cpu.stat. ErrGone when the cgroup was removed.
func (r *Reader) CPUStat() (CPUStat, error) {
	data, err := r.read(r.stat)
	if err != nil {
		return CPUStat{}, err
	}

	stat, err := ParseCPUStat(data)
	if err != nil {
		return CPUStat{}, r.malformed(r.stat, err)
	}

	return stat, nil
}

// ErrNoPressure says that the kernel keeps no pressure stall information for the cgroup.
var ErrNoPressure = errors.New("no cpu.pressure: pressure stall information is off")

// CPUPressure reads cpu.pressure.
func (r *Reader) CPUPressure() (Pressure, error) {
	data, err := r.read(r.pressure)
	if errors.Is(err, errNoFile) || errors.Is(err, unix.EOPNOTSUPP) {
		return Pressure{}, ErrNoPressure
	}

	if err != nil {
		return Pressure{}, err
	}

	pressure, err := ParsePressure(data)
	if err != nil {
		return Pressure{}, r.malformed(r.pressure, err)
	}

	return pressure, nil
}

// MemoryCurrent reads memory.current in bytes; false when there is none.
func (r *Reader) MemoryCurrent() (uint64, bool) { return r.value(r.memory) }

// MemoryPeak reads memory.peak in bytes; false when there is none.
func (r *Reader) MemoryPeak() (uint64, bool) { return r.value(r.peak) }

// Pids reads pids.current, the number of tasks; false when there is none.
func (r *Reader) Pids() (uint64, bool) { return r.value(r.pids) }

// MemoryEvents reads memory.events; false when there is none.
func (r *Reader) MemoryEvents() (MemoryEvents, bool) {
	data, err := r.read(r.events)
	if err != nil {
		return MemoryEvents{}, false
	}

	events, err := ParseMemoryEvents(data)

	return events, err == nil
}

// errNoFile says that the cgroup has no such file. It is no error to be told of.
var errNoFile = errors.New("no such file")

// read reads one of the files as it is now. What it returns is valid until the next read.
func (r *Reader) read(file *kept) ([]byte, error) {
	if file == nil {
		return nil, errNoFile
	}

	n, err := unix.Pread(file.fd, r.buf[:], 0)
	if err != nil {
		return nil, fmt.Errorf("error reading %s of cgroup %s: %w", file.file.Name(), r.path, gone(err))
	}

	return r.buf[:n], nil
}

// value reads a file that holds a single number.
func (r *Reader) value(file *kept) (uint64, bool) {
	data, err := r.read(file)
	if err != nil || len(data) == 0 {
		return 0, false
	}

	return parseUint(data[:len(data)-1])
}

func (r *Reader) malformed(file *kept, err error) error {
	return fmt.Errorf("error parsing %s of cgroup %s: %w", file.file.Name(), r.path, err)
}
