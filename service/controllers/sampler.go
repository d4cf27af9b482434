//go:build linux

package controllers

import (
	"math"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/netns"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// warmingUp is the reason of a rate before there are two readings.
const warmingUp = "the first reading: a rate needs two"

// sampler reads one target's counters over what it keeps open.
type sampler struct {
	paths  Paths
	target resources.TargetSpec

	dir    *cgroup.Dir
	reader *cgroup.Reader
	links  *netns.Links

	cpuError, netError string
	// cpuAt and linksAt are when each was last read: after a blind spell a rate spans the whole of it.
	cpuAt, linksAt time.Duration
	counters       resources.Counters
}

func newSampler(paths Paths, target resources.TargetSpec) *sampler {
	s := &sampler{paths: paths, target: target}
	s.openCgroup()
	s.openLinks()

	return s
}

func (s *sampler) openCgroup() {
	dir, err := cgroup.Open(s.paths.Cgroup, s.target.Cgroup)
	if err != nil {
		s.cpuError = err.Error()

		return
	}

	if dir.ID().Inode != s.target.CgroupInode {
		dir.Close() //nolint:errcheck // not ours

		s.cpuError = "the cgroup's path belongs to another container by now"

		return
	}

	reader, err := dir.NewReader()
	if err != nil {
		dir.Close() //nolint:errcheck // unused

		s.cpuError = err.Error()

		return
	}

	s.dir, s.reader, s.cpuError = dir, reader, ""
}

func (s *sampler) openLinks() {
	if s.target.HostNetwork {
		s.netError = "the pod uses the node's network: its traffic cannot be told from the node's"

		return
	}

	links, err := netns.Open(netnsPath(s.paths.Proc, int(s.target.PID)))
	if err != nil {
		s.netError = err.Error()

		return
	}

	// The process may have ended since: its pid's new owner has another network.
	if links.Inode() != s.target.NetNSInode {
		links.Close()

		s.netError = "the process's network namespace is another one by now"

		return
	}

	s.links, s.netError = links, ""
}

func (s *sampler) close() {
	if s.reader != nil {
		s.reader.Close() //nolint:errcheck // read only
		s.dir.Close()    //nolint:errcheck // read only
	}

	if s.links != nil {
		s.links.Close()
	}
}

// sample reads everything once. A value that cannot be read is blind, with the reason; the others are not held up.
func (s *sampler) sample(clock time.Duration) resources.TargetStatsSpec {
	next := resources.TargetStatsSpec{
		ContainerID: s.target.ContainerID, At: time.Now().UTC(), Clock: clock, Counters: s.counters,
	}

	s.sampleCPU(&next)
	s.sampleLinks(&next)

	s.counters = next.Counters

	return next
}

func (s *sampler) sampleCPU(next *resources.TargetStatsSpec) {
	if s.reader == nil {
		s.openCgroup()
	}

	blind := func(reason string) {
		next.CPU = resources.Reading{Provenance: resources.Blind, Reason: reason}
		next.ThrottledRatio, next.MemoryBytes, next.CPUPressure = next.CPU, next.CPU, next.CPU
	}

	if s.reader == nil {
		blind(s.cpuError)

		return
	}

	stat, err := s.reader.CPUStat()
	if err != nil {
		blind(err.Error())

		return
	}

	before, elapsed, first := s.counters, (next.Clock - s.cpuAt).Seconds(), s.cpuAt == 0
	s.cpuAt = next.Clock

	next.Counters.UsageUsec = stat.UsageUsec
	next.Counters.Periods, next.Counters.Throttled = stat.Periods, stat.Throttled
	next.Counters.ThrottledUsec = stat.ThrottledUsec

	next.CPU = rate(before.UsageUsec, stat.UsageUsec, 1e6*elapsed, first)
	next.ThrottledRatio = rate(before.Throttled, stat.Throttled, float64(stat.Periods-min(before.Periods, stat.Periods)), first)

	s.samplePressure(next, before.PressureUsec, elapsed, first)

	if memory, ok := s.reader.MemoryCurrent(); ok {
		next.MemoryBytes = resources.Reading{Value: float64(memory), Provenance: resources.Measured}
	} else {
		next.MemoryBytes = resources.Reading{Provenance: resources.Blind, Reason: "the memory controller is off"}
	}
}

func (s *sampler) samplePressure(next *resources.TargetStatsSpec, before uint64, elapsed float64, first bool) {
	pressure, err := s.reader.CPUPressure()
	if err != nil {
		next.CPUPressure = resources.Reading{Provenance: resources.Blind, Reason: err.Error()}

		return
	}

	next.Counters.PressureUsec = pressure.TotalUsec
	next.CPUPressure = rate(before, pressure.TotalUsec, 1e6*elapsed, first)
}

func (s *sampler) sampleLinks(next *resources.TargetStatsSpec) {
	if s.links == nil && !s.target.HostNetwork {
		s.openLinks()
	}

	reason := s.netError

	if s.links != nil {
		counters, err := s.links.Counters()
		if err == nil {
			before, elapsed, first := s.counters, (next.Clock - s.linksAt).Seconds(), s.linksAt == 0
			s.linksAt = next.Clock

			next.Counters.TXBytes, next.Counters.RXBytes = counters.TXBytes, counters.RXBytes
			next.TXBytesPerSecond = rate(before.TXBytes, counters.TXBytes, elapsed, first)
			next.RXBytesPerSecond = rate(before.RXBytes, counters.RXBytes, elapsed, first)

			return
		}

		// A socket that failed may not recover: open a new one at the next sample.
		reason = err.Error()

		s.links.Close()
		s.links = nil
	}

	next.TXBytesPerSecond = resources.Reading{Provenance: resources.Blind, Reason: reason}
	next.RXBytesPerSecond = next.TXBytesPerSecond
}

// rate is the counter's increase divided by what passed. A counter that was reset, or nothing passed, gives 0.
func rate(before, after uint64, passed float64, first bool) resources.Reading {
	switch {
	case first:
		return resources.Reading{Provenance: resources.Blind, Reason: warmingUp}
	case after < before || passed <= 0:
		return resources.Reading{Provenance: resources.Measured}
	default:
		return resources.Reading{Value: round(float64(after-before) / passed), Provenance: resources.Measured}
	}
}

// round keeps three decimals: a thousandth of a core, and more than enough of a byte.
func round(value float64) float64 { return math.Round(value*1000) / 1000 }
