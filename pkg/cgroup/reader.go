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
	stat, memory, pressure *os.File
	path                   string
	buf                    [4096]byte
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
	// So may pressure stall information (psi=0, or cgroup.pressure): rules about it are blind then.
	r.pressure, _ = d.openFile("cpu.pressure", unix.O_RDONLY)

	return r, nil
}

// Close closes the files.
func (r *Reader) Close() error {
	for _, file := range []*os.File{r.memory, r.pressure} {
		if file != nil {
			file.Close() //nolint:errcheck // read only
		}
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

// ErrNoPressure says that the kernel keeps no pressure stall information for the cgroup.
var ErrNoPressure = errors.New("no cpu.pressure: pressure stall information is off")

// CPUPressure reads cpu.pressure.
func (r *Reader) CPUPressure() (Pressure, error) {
	if r.pressure == nil {
		return Pressure{}, ErrNoPressure
	}

	n, err := unix.Pread(int(r.pressure.Fd()), r.buf[:], 0)

	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return Pressure{}, ErrNoPressure
	case err != nil:
		return Pressure{}, fmt.Errorf("error reading cpu.pressure of cgroup %s: %w", r.path, gone(err))
	}

	pressure, err := ParsePressure(r.buf[:n])
	if err != nil {
		return Pressure{}, fmt.Errorf("error parsing cpu.pressure of cgroup %s: %w", r.path, err)
	}

	return pressure, nil
}
