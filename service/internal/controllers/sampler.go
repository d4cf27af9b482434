//go:build linux

package controllers

import (
	"math"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/netns"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
)

// sampler reads one target's counters over what it keeps open.
type sampler struct {
	host   host.Host
	target resources.TargetSpec

	dir    *cgroup.Dir
	reader *cgroup.Reader

	namespace *netns.Namespace
	links     *netns.Links

	metrics config.Metrics
	scraper *scraper

	cpuError, netError string
	// cpuAt and linksAt are when each was last read: after a unavailable spell a rate spans the whole of it.
	cpuAt, linksAt time.Duration
	// stats are the newest, published those that clients know.
	stats, published resources.TargetStatsSpec
}

func newSampler(node host.Host, target resources.TargetSpec, metrics config.Metrics) *sampler {
	s := &sampler{host: node, target: target, metrics: metrics}
	s.openCgroup()
	s.openNamespace()

	return s
}

func (s *sampler) openCgroup() {
	dir, err := cgroup.Open(s.host.Cgroup, s.target.Cgroup)
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

// openNamespace opens what is read inside of the target's network namespace.
func (s *sampler) openNamespace() {
	namespace, err := s.host.OpenNamespace(s.target)
	if err != nil {
		s.netError = err.Error()

		return
	}

	if s.target.HostNetwork {
		s.netError = "the pod uses the node's network: its traffic cannot be told from the node's"
	} else if s.links, err = namespace.Links(); err != nil {
		namespace.Close()

		s.netError = err.Error()

		return
	}

	s.namespace = namespace
	s.scrape(s.metrics)
}

// scrape asks for the target's own metrics where the configuration says they are.
func (s *sampler) scrape(metrics config.Metrics) {
	if s.scraper != nil && s.metrics == metrics {
		return
	}

	if s.scraper != nil {
		s.scraper.stop()
		s.scraper = nil
	}

	s.metrics = metrics

	if s.namespace != nil && metrics.Port.Number != 0 {
		s.scraper = startScraper(s.namespace.Dial, metrics)
	}
}

func (s *sampler) closeNamespace() {
	if s.scraper != nil {
		s.scraper.stop()
	}

	if s.links != nil {
		s.links.Close()
	}

	if s.namespace != nil {
		s.namespace.Close()
	}

	s.scraper, s.links, s.namespace = nil, nil, nil
}

func (s *sampler) close() {
	if s.reader != nil {
		s.reader.Close() //nolint:errcheck // read only
		s.dir.Close()    //nolint:errcheck // read only
	}

	s.closeNamespace()
}

// sample reads everything once. A value that cannot be read is unavailable, with the reason; the others are not held up.
func (s *sampler) sample(clock time.Duration) {
	before := s.stats.Counters

	s.stats = resources.TargetStatsSpec{
		ContainerID: s.target.ContainerID, At: time.Now().UTC(), Clock: clock, Counters: before,
	}

	s.sampleCgroup(&s.stats, before)
	s.sampleLinks(&s.stats, before)
	s.stats.Application = s.program()
}

func (s *sampler) sampleCgroup(next *resources.TargetStatsSpec, before resources.Counters) {
	if s.reader == nil {
		s.openCgroup()
	}

	if s.reader == nil {
		unavailableCgroup(next, s.cpuError)

		return
	}

	stat, err := s.reader.CPUStat()
	if err != nil {
		unavailableCgroup(next, err.Error())

		return
	}

	elapsed, first := (next.Clock - s.cpuAt).Seconds(), s.cpuAt == 0
	s.cpuAt = next.Clock

	c := &next.Counters
	c.UsageUsec, c.UserUsec, c.SystemUsec = stat.UsageUsec, stat.UserUsec, stat.SystemUsec
	c.Periods, c.Throttled, c.ThrottledUsec = stat.Periods, stat.Throttled, stat.ThrottledUsec

	next.CPU = rate(before.UsageUsec, c.UsageUsec, 1e6*elapsed, first)
	next.CPUUser = rate(before.UserUsec, c.UserUsec, 1e6*elapsed, first)
	next.CPUSystem = rate(before.SystemUsec, c.SystemUsec, 1e6*elapsed, first)
	next.ThrottledRatio = rate(before.Throttled, c.Throttled, float64(c.Periods-min(before.Periods, c.Periods)), first)
	next.ThrottledTime = rate(before.ThrottledUsec, c.ThrottledUsec, 1e6*elapsed, first)

	s.samplePressure(next, before.PressureUsec, elapsed, first)
	s.sampleMemory(next)
}

func unavailableCgroup(next *resources.TargetStatsSpec, reason string) {
	for _, reading := range []*resources.Reading{
		&next.CPU, &next.CPUUser, &next.CPUSystem, &next.ThrottledRatio, &next.ThrottledTime, &next.CPUPressure,
		&next.MemoryBytes, &next.MemoryPeakBytes, &next.Pids,
	} {
		*reading = unavailable(reason)
	}
}

func (s *sampler) samplePressure(next *resources.TargetStatsSpec, before uint64, elapsed float64, first bool) {
	pressure, err := s.reader.CPUPressure()
	if err != nil {
		next.CPUPressure = unavailable(err.Error())

		return
	}

	next.Counters.PressureUsec = pressure.TotalUsec
	next.CPUPressure = rate(before, pressure.TotalUsec, 1e6*elapsed, first)
}

func (s *sampler) sampleMemory(next *resources.TargetStatsSpec) {
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

func (s *sampler) sampleLinks(next *resources.TargetStatsSpec, before resources.Counters) {
	if s.namespace == nil {
		s.openNamespace()
	}

	reason := s.netError

	if s.links != nil {
		counters, err := s.links.Counters()
		if err == nil {
			s.linkRates(next, before, counters)

			return
		}

		// A socket that failed may not recover: open a new one at the next sample.
		reason = err.Error()

		s.closeNamespace()
	}

	for _, reading := range []*resources.Reading{
		&next.TXBytesPerSecond, &next.RXBytesPerSecond, &next.TXPacketsPerSecond, &next.RXPacketsPerSecond,
		&next.TXDroppedPerSecond, &next.RXDroppedPerSecond,
	} {
		*reading = unavailable(reason)
	}
}

func (s *sampler) linkRates(next *resources.TargetStatsSpec, before resources.Counters, counters netns.Counters) {
	elapsed, first := (next.Clock - s.linksAt).Seconds(), s.linksAt == 0
	s.linksAt = next.Clock

	c := &next.Counters
	c.TXBytes, c.RXBytes = counters.TXBytes, counters.RXBytes
	c.TXPackets, c.RXPackets = counters.TXPackets, counters.RXPackets
	c.TXDropped, c.RXDropped = counters.TXDropped, counters.RXDropped

	next.TXBytesPerSecond = rate(before.TXBytes, c.TXBytes, elapsed, first)
	next.RXBytesPerSecond = rate(before.RXBytes, c.RXBytes, elapsed, first)
	next.TXPacketsPerSecond = rate(before.TXPackets, c.TXPackets, elapsed, first)
	next.RXPacketsPerSecond = rate(before.RXPackets, c.RXPackets, elapsed, first)
	next.TXDroppedPerSecond = rate(before.TXDropped, c.TXDropped, elapsed, first)
	next.RXDroppedPerSecond = rate(before.RXDropped, c.RXDropped, elapsed, first)
}

// program is what the target last said of itself.
func (s *sampler) program() resources.ApplicationStats {
	switch {
	case s.scraper != nil:
		return s.scraper.latest()
	case s.metrics.Port.Number == 0:
		return unavailableApplication("target.metrics.port is 0: nothing is asked")
	default:
		return unavailableApplication(s.netError)
	}
}

func unavailable(reason string) resources.Reading {
	return resources.Reading{Provenance: resources.ProvenanceUnavailable, Reason: reason}
}

func measured(value float64) resources.Reading {
	return resources.Reading{Value: round(value), Provenance: resources.ProvenanceMeasured}
}

// gauge is a value that is not a rate, or unavailable when there is none.
func gauge(value uint64, ok bool, reason string) resources.Reading {
	if !ok {
		return unavailable(reason)
	}

	return measured(float64(value))
}

// rate is the counter's increase divided by what passed. A counter that was reset, or nothing passed, gives 0.
func rate(before, after uint64, passed float64, first bool) resources.Reading {
	switch {
	case first:
		return resources.Warming()
	case after < before || passed <= 0:
		return measured(0)
	default:
		return measured(float64(after-before) / passed)
	}
}

// round keeps three decimals: a thousandth of a core, and more than enough of a byte.
func round(value float64) float64 { return math.Round(value*1000) / 1000 }
