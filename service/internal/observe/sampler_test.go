// SPDX-License-Identifier: MPL-2.0

//go:build linux

package observe

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/netns"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// container is a target of a test: its cgroup, namespace and links.
type container struct {
	stat     cgroup.CPUStat
	pressure cgroup.Pressure
	counters netns.Counters
	// errors of what is opened or read, by name.
	errors map[string]error
	// off: the memory and pids controllers are off.
	off    bool
	closed int
}

func (c *container) source() Source {
	return Source{
		Cgroup:    func() (CgroupReader, error) { return c, c.errors["cgroup"] },
		Namespace: func() (Namespace, error) { return containerNamespace{c}, c.errors["namespace"] },
	}
}

func (c *container) CPUStat() (cgroup.CPUStat, error) { return c.stat, c.errors["cpu.stat"] }
func (c *container) CPUPressure() (cgroup.Pressure, error) {
	return c.pressure, c.errors["cpu.pressure"]
}
func (c *container) MemoryCurrent() (uint64, bool) { return 50 << 20, !c.off }
func (c *container) MemoryPeak() (uint64, bool)    { return 60 << 20, !c.off }
func (c *container) Pids() (uint64, bool)          { return 12, !c.off }

func (c *container) MemoryEvents() (cgroup.MemoryEvents, bool) {
	return cgroup.MemoryEvents{High: 1, Max: 2, OOM: 3, OOMKill: 4}, !c.off
}

func (c *container) Close() error {
	c.closed++

	return nil
}

type containerNamespace struct{ c *container }

func (n containerNamespace) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("connection refused")
}

func (n containerNamespace) Links() (LinksReader, error) {
	return containerLinks(n), n.c.errors["links"]
}
func (n containerNamespace) Close() { n.c.closed++ }

type containerLinks struct{ c *container }

func (l containerLinks) Counters() (netns.Counters, error) {
	return l.c.counters, l.c.errors["counters"]
}
func (l containerLinks) Close() { l.c.closed++ }

// run lets a second pass in which the container uses 1.8 cores and sends 1.4 MB.
func (c *container) run() {
	c.stat.UsageUsec += 1_800_000
	c.stat.UserUsec += 1_500_000
	c.stat.SystemUsec += 300_000
	c.stat.Periods += 10
	c.stat.Throttled += 4
	c.stat.ThrottledUsec += 250_000
	c.pressure.TotalUsec += 100_000
	c.counters.TXBytes += 1_400_000
	c.counters.RXBytes += 700_000
	c.counters.TXPackets += 1000
}

// without is a configuration that asks for no application metrics.
var without = config.Metrics{}

func TestSampler_WarmsUpAndMeasures(t *testing.T) {
	c := &container{}
	s := NewSampler(c.source(), resources.TargetSpec{ContainerID: "c1"}, without)

	c.run()
	s.Sample(time.Second)
	assert.Equal(t, resources.Warming(), s.Stats().CPU)
	assert.Equal(t, resources.Warming(), s.Stats().TXBytesPerSecond)
	assert.Equal(t, resources.Warming(), s.Stats().ThrottledRatio)
	assert.Equal(t, resources.Measured(50<<20), s.Stats().MemoryBytes)
	assert.Equal(t, resources.Unavailable("target.metrics.port is 0"), s.Stats().Application.AllocBytesPerSecond)

	c.run()
	s.Sample(2 * time.Second)

	got := *s.Stats()
	assert.Equal(t, "c1", got.ContainerID)
	assert.Equal(t, 2*time.Second, got.Clock)
	assert.Equal(t, resources.Measured(1.8), got.CPU)
	assert.Equal(t, resources.Measured(1.5), got.CPUUser)
	assert.Equal(t, resources.Measured(0.3), got.CPUSystem)
	assert.Equal(t, resources.Measured(0.4), got.ThrottledRatio)
	assert.Equal(t, resources.Measured(0.25), got.ThrottledTime)
	assert.Equal(t, resources.Measured(0.1), got.CPUPressure)
	assert.Equal(t, resources.Measured(1.4e6), got.TXBytesPerSecond)
	assert.Equal(t, resources.Measured(0.7e6), got.RXBytesPerSecond)
	assert.Equal(t, resources.Measured(1000), got.TXPacketsPerSecond)
	assert.Equal(t, resources.Measured(12), got.Pids)
	assert.Equal(t, uint64(3_600_000), got.Counters.UsageUsec)
	assert.Equal(t, uint64(4), got.Counters.MemoryOOMKill)

	s.Close()
	assert.Equal(t, 3, c.closed, "cgroup, links and namespace")
}

func TestSampler_UnavailableValuesDelayNoOthers(t *testing.T) {
	broken := errors.New("broken")
	because := resources.Unavailable("broken")

	for what, check := range map[string]func(t *testing.T, got *resources.TargetStatsSpec){
		"cgroup": func(t *testing.T, got *resources.TargetStatsSpec) {
			t.Helper()
			assert.Equal(t, because, got.CPU)
			assert.Equal(t, because, got.Pids)
			assert.True(t, got.TXBytesPerSecond.Known())
		},
		"cpu.stat": func(t *testing.T, got *resources.TargetStatsSpec) {
			t.Helper()
			assert.Equal(t, because, got.CPU)
		},
		"cpu.pressure": func(t *testing.T, got *resources.TargetStatsSpec) {
			t.Helper()
			assert.Equal(t, because, got.CPUPressure)
			assert.True(t, got.CPU.Known())
		},
		"namespace": func(t *testing.T, got *resources.TargetStatsSpec) {
			t.Helper()
			assert.Equal(t, because, got.TXBytesPerSecond)
			assert.True(t, got.CPU.Known())
		},
		"links": func(t *testing.T, got *resources.TargetStatsSpec) {
			t.Helper()
			assert.Equal(t, because, got.TXDroppedPerSecond)
		},
		"counters": func(t *testing.T, got *resources.TargetStatsSpec) {
			t.Helper()
			assert.Equal(t, because, got.RXPacketsPerSecond)
		},
	} {
		t.Run(what, func(t *testing.T) {
			c := &container{errors: map[string]error{what: broken}}
			s := NewSampler(c.source(), resources.TargetSpec{}, without)

			defer s.Close()

			for at := range 2 {
				c.run()
				s.Sample(time.Duration(at+1) * time.Second)
			}

			check(t, s.Stats())

			// It comes back by itself.
			c.errors = nil

			for at := range 2 {
				c.run()
				s.Sample(time.Duration(at+3) * time.Second)
			}

			assert.InDelta(t, 1.8, s.Stats().CPU.Value, 1e-9)
			assert.Equal(t, resources.Measured(1.4e6), s.Stats().TXBytesPerSecond)
		})
	}
}

func TestSampler_MissingControllersAndHostNetwork(t *testing.T) {
	c := &container{off: true}
	s := NewSampler(c.source(), resources.TargetSpec{HostNetwork: true}, without)

	defer s.Close()

	c.run()
	s.Sample(time.Second)
	assert.Equal(t, resources.Unavailable("the memory controller is off"), s.Stats().MemoryBytes)
	assert.Contains(t, s.Stats().MemoryPeakBytes.Reason, "Linux 5.19")
	assert.Equal(t, resources.Unavailable("the pids controller is off"), s.Stats().Pids)
	assert.Contains(t, s.Stats().TXBytesPerSecond.Reason, "uses the node's network")
}

func TestSampler_FollowsTheConfiguredPort(t *testing.T) {
	c := &container{}
	metrics := config.Metrics{Port: config.Port{Number: 9090}, Path: "/metrics", Interval: config.Duration{Duration: time.Millisecond}}
	s := NewSampler(c.source(), resources.TargetSpec{}, metrics)

	defer s.Close()

	refused := func() bool {
		s.Sample(time.Second)

		return strings.Contains(s.Stats().Application.AllocBytesPerSecond.Reason, "connection refused")
	}

	require.Eventually(t, refused, time.Minute, time.Millisecond)
	assert.Contains(t, s.Stats().Application.HeapBytes.Reason, "connection refused")

	s.Scrape(metrics)
	s.Scrape(without)
	s.Sample(2 * time.Second)
	assert.Equal(t, resources.Unavailable("target.metrics.port is 0"), s.Stats().Application.HeapBytes)

	s.Scrape(metrics)
	require.Eventually(t, refused, time.Minute, time.Millisecond)
}

func TestSignificant(t *testing.T) {
	before := resources.TargetStatsSpec{ContainerID: "c1", Clock: time.Second, CPU: resources.Measured(1)}

	for name, test := range map[string]struct {
		change func(*resources.TargetStatsSpec)
		want   bool
	}{
		"nothing":            {func(*resources.TargetStatsSpec) {}, false},
		"a little":           {func(s *resources.TargetStatsSpec) { s.CPU.Value = 1.04 }, false},
		"more than a little": {func(s *resources.TargetStatsSpec) { s.CPU.Value = 1.06 }, true},
		"noise":              {func(s *resources.TargetStatsSpec) { s.CPUUser.Value = 0.004 }, false},
		"provenance":         {func(s *resources.TargetStatsSpec) { s.TXBytesPerSecond = resources.Warming() }, true},
		"container":          {func(s *resources.TargetStatsSpec) { s.ContainerID = "c2" }, true},
		"heartbeat":          {func(s *resources.TargetStatsSpec) { s.Clock = time.Second + heartbeat }, true},
	} {
		t.Run(name, func(t *testing.T) {
			after := before
			test.change(&after)
			assert.Equal(t, test.want, Significant(&before, &after))
		})
	}
}

func BenchmarkSampler(b *testing.B) {
	c := &container{}
	s := NewSampler(c.source(), resources.TargetSpec{}, without)
	at := time.Second

	b.ReportAllocs()

	for b.Loop() {
		at += time.Second
		c.run()
		s.Sample(at)
	}
}

func TestSampler_SteadySampleAllocatesNothing(t *testing.T) {
	c := &container{}
	s := NewSampler(c.source(), resources.TargetSpec{}, without)
	at := time.Second

	assert.Zero(t, testing.AllocsPerRun(100, func() {
		at += time.Second
		c.run()
		s.Sample(at)
	}))
}

// TestSampler_KeepsApplicationMetricsOverAFailedDump: an error of netlink costs the traffic of one sample.
func TestSampler_KeepsApplicationMetricsOverAFailedDump(t *testing.T) {
	c := &container{errors: map[string]error{}}
	s := NewSampler(c.source(), resources.TargetSpec{ContainerID: "c1"}, config.Metrics{
		Port: config.Port{Number: 9090}, Path: "/metrics", Interval: config.Duration{Duration: time.Hour},
	})
	t.Cleanup(s.Close)

	s.Sample(time.Second)

	scraper := s.scraper
	require.NotNil(t, scraper)

	c.errors["counters"] = errors.New("dump interrupted")
	c.run()
	s.Sample(2 * time.Second)
	assert.Equal(t, resources.Unavailable("dump interrupted"), s.Stats().TXBytesPerSecond)
	assert.Same(t, scraper, s.scraper)

	delete(c.errors, "counters")
	c.run()
	s.Sample(3 * time.Second)
	assert.InDelta(t, 1.4e6, s.Stats().TXBytesPerSecond.Value, 1)
	assert.Same(t, scraper, s.scraper)
}

// TestSharedNamespace_ClosesAfterItsUsers: a request that hangs delays neither the close of the sampler nor the next sample.
func TestSharedNamespace_ClosesAfterItsUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &container{}
		namespace := &sharedNamespace{Namespace: containerNamespace{c}}
		ended := make(chan struct{})

		namespace.use(func() { <-ended })
		namespace.Close()
		synctest.Wait()
		assert.Zero(t, c.closed)

		close(ended)
		synctest.Wait()
		assert.Equal(t, 1, c.closed)
	})
}
