// SPDX-License-Identifier: MPL-2.0

//go:build linux

package observe

import (
	"errors"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
)

// CgroupReader reads the files of a cgroup: see cgroup.Reader.
type CgroupReader interface {
	CPUStat() (cgroup.CPUStat, error)
	CPUPressure() (cgroup.Pressure, error)
	MemoryCurrent() (uint64, bool)
	MemoryPeak() (uint64, bool)
	Pids() (uint64, bool)
	MemoryEvents() (cgroup.MemoryEvents, bool)
	Close() error
}

// cgroupSampler reads one target's cgroup over files that it keeps open.
type cgroupSampler struct {
	open   func() (CgroupReader, error)
	reader CgroupReader

	usage, user, system, throttledTime, pressure Counter
	throttled, periods                           Counter
}

// openCgroup opens a target's cgroup for reading. The reader closes the cgroup with itself.
func openCgroup(node host.Host, target resources.TargetSpec) (CgroupReader, error) {
	dir, err := cgroup.Open(node.Cgroup, target.Cgroup)
	if err != nil {
		return nil, err
	}

	if dir.ID().Inode != target.CgroupInode {
		dir.Close() //nolint:errcheck // unused

		return nil, errors.New("the cgroup's path belongs to another container now")
	}

	reader, err := dir.NewReader()
	if err != nil {
		dir.Close() //nolint:errcheck // unused

		return nil, err
	}

	return closing{Reader: reader, dir: dir}, nil
}

// closing is a reader that closes its cgroup with itself.
type closing struct {
	*cgroup.Reader

	dir *cgroup.Dir
}

// Close implements CgroupReader.
func (c closing) Close() error { return errors.Join(c.Reader.Close(), c.dir.Close()) }

// sample reads everything once. What cannot be read is unavailable, and after that a rate spans the whole time.
func (s *cgroupSampler) sample(next *resources.TargetStatsSpec) {
	if s.reader == nil {
		reader, err := s.open()
		if err != nil {
			unavailableCgroup(next, err)

			return
		}

		s.reader = reader
	}

	stat, err := s.reader.CPUStat()
	if err != nil {
		unavailableCgroup(next, err)

		return
	}

	c, at := &next.Counters, next.Clock
	c.UsageUsec, c.UserUsec, c.SystemUsec = stat.UsageUsec, stat.UserUsec, stat.SystemUsec
	c.Periods, c.Throttled, c.ThrottledUsec = stat.Periods, stat.Throttled, stat.ThrottledUsec

	next.CPU = s.usage.Rate(at, float64(c.UsageUsec), 1e6)
	next.CPUUser = s.user.Rate(at, float64(c.UserUsec), 1e6)
	next.CPUSystem = s.system.Rate(at, float64(c.SystemUsec), 1e6)
	next.ThrottledTime = s.throttledTime.Rate(at, float64(c.ThrottledUsec), 1e6)
	next.ThrottledRatio = share(&s.throttled, &s.periods, at, float64(c.Throttled), float64(c.Periods))

	s.samplePressure(next, at)
	s.sampleMemory(next)
}

func (s *cgroupSampler) samplePressure(next *resources.TargetStatsSpec, at time.Duration) {
	pressure, err := s.reader.CPUPressure()
	if err != nil {
		next.CPUPressure = resources.Unavailable(err.Error())

		return
	}

	next.Counters.PressureUsec = pressure.TotalUsec
	next.CPUPressure = s.pressure.Rate(at, float64(pressure.TotalUsec), 1e6)
}

func (s *cgroupSampler) sampleMemory(next *resources.TargetStatsSpec) {
	current, ok := s.reader.MemoryCurrent()
	next.MemoryBytes = gauge(current, ok, "the memory controller is off")

	peak, ok := s.reader.MemoryPeak()
	next.MemoryPeakBytes = gauge(peak, ok, "no memory.peak: it needs the memory controller and Linux 5.19")

	pids, ok := s.reader.Pids()
	next.Pids = gauge(pids, ok, "the pids controller is off")

	if events, ok := s.reader.MemoryEvents(); ok {
		c := &next.Counters
		c.MemoryHigh, c.MemoryMax, c.MemoryOOM, c.MemoryOOMKill = events.High, events.Max, events.OOM, events.OOMKill
	}
}

func (s *cgroupSampler) close() {
	if s.reader != nil {
		s.reader.Close() //nolint:errcheck // read only
	}
}

func unavailableCgroup(next *resources.TargetStatsSpec, err error) {
	reading := resources.Unavailable(err.Error())

	next.CPU, next.CPUUser, next.CPUSystem = reading, reading, reading
	next.ThrottledRatio, next.ThrottledTime, next.CPUPressure = reading, reading, reading
	next.MemoryBytes, next.MemoryPeakBytes, next.Pids = reading, reading, reading
}
