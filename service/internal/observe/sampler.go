// SPDX-License-Identifier: MPL-2.0

//go:build linux

package observe

import (
	"cmp"
	"context"
	"net"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
)

// Source opens what is read of one target. NewSource returns that of a host; a test may have one of its own.
type Source struct {
	// Cgroup opens the target's cgroup.
	Cgroup func() (CgroupReader, error)
	// Namespace opens the target's network namespace.
	Namespace func() (Namespace, error)
	// ListenPort returns the port of the address in an argument of the target's process: see host.Host.ListenPort. It may
	// be nil.
	ListenPort func(flag string) (uint16, error)
}

// Namespace is a target's network namespace: see netns.Namespace.
type Namespace interface {
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	// Links opens its links.
	Links() (LinksReader, error)
	Close()
}

// Sampler reads one target's counters over what it keeps open. It is for one goroutine; make one with NewSampler.
type Sampler struct {
	source Source
	target resources.TargetSpec

	cgroup    cgroupSampler
	namespace *sharedNamespace
	links     LinksReader
	rates     linksSampler

	metrics config.Metrics
	scraper *scraper

	// networkError is why the namespace, or its links, cannot be read.
	networkError string
	stats        resources.TargetStatsSpec
}

// NewSampler returns a sampler of a target that asks for its application metrics where the configuration says.
func NewSampler(source Source, target resources.TargetSpec, metrics config.Metrics) (s *Sampler) {
	s = &Sampler{source: source, target: target, metrics: metrics, cgroup: cgroupSampler{open: source.Cgroup}}

	defer func() {
		if p := recover(); p != nil {
			s.reset(task.Recovered("open a network namespace", p)) // the next sample tries again
		}
	}()

	s.openNamespace()

	return s
}

// NewSource returns what is read of a target on a host.
func NewSource(node host.Host, target resources.TargetSpec) Source {
	return Source{
		Cgroup:     func() (CgroupReader, error) { return openCgroup(node, target) },
		Namespace:  func() (Namespace, error) { return openNamespace(node, target) },
		ListenPort: func(flag string) (uint16, error) { return node.ListenPort(target, flag) },
	}
}

// Target of the sampler.
func (s *Sampler) Target() resources.TargetSpec { return s.target }

// Stats are the newest sample. They are valid until the next one.
func (s *Sampler) Stats() *resources.TargetStatsSpec { return &s.stats }

// Sample reads everything once at a time (CLOCK_BOOTTIME). A value that cannot be read is unavailable with the reason
// and does not delay the others. After a panic all are, and the next sample opens everything again.
func (s *Sampler) Sample(clock time.Duration) {
	s.stats = resources.TargetStatsSpec{
		ContainerID: s.target.ContainerID, At: boottime.Wall(clock), Clock: clock, Counters: s.stats.Counters,
	}

	defer func() {
		if p := recover(); p != nil {
			s.reset(task.Recovered("sample a target", p))
		}
	}()

	s.cgroup.sample(&s.stats)
	s.sampleLinks()
	s.stats.Application = s.application()
}

// reset drops what is open, which may be the cause of a panic, and makes the sample unavailable.
func (s *Sampler) reset(err error) {
	unavailableCgroup(&s.stats, err)
	unavailableLinks(&s.stats, err.Error())
	s.stats.Application = unavailableApplication(err.Error(), err.Error())
	s.networkError = err.Error()

	task.Do("close the files of a target", s.Close)

	*s = Sampler{
		source: s.source, target: s.target, metrics: s.metrics, cgroup: cgroupSampler{open: s.source.Cgroup}, networkError: s.networkError, stats: s.stats,
	}
}

func (s *Sampler) sampleLinks() {
	if s.namespace == nil {
		s.openNamespace()
	}

	if s.namespace != nil && s.links == nil && !s.target.HostNetwork {
		s.openLinks()
	}

	if s.links == nil {
		unavailableLinks(&s.stats, s.networkError)

		return
	}

	counters, err := s.links.Counters()
	if err != nil {
		// A socket that failed may not recover: the next sample opens a new one. The application metrics go on.
		s.links.Close()
		s.links = nil
		unavailableLinks(&s.stats, err.Error())

		return
	}

	s.rates.sample(&s.stats, counters)
}

// application returns the newest application metrics. It never waits for an answer.
func (s *Sampler) application() resources.ApplicationStats {
	switch {
	case s.scraper != nil:
		return s.scraper.latest()
	case !asked(s.metrics):
		return unavailableApplication(reasonNoMetrics, reasonNoReadiness)
	default:
		return unavailableApplication(s.networkError, s.networkError)
	}
}

// Answer returns the newest answer of the target's /metrics, or why there is none. It never waits for one.
func (s *Sampler) Answer() Answer {
	switch {
	case s.metrics.Port.Number == 0:
		return Answer{Unavailable: reasonNoMetrics}
	case s.scraper != nil:
		return s.scraper.lastAnswer()
	default:
		return Answer{Unavailable: cmp.Or(s.networkError, noAnswer.Unavailable)}
	}
}

// Scrape asks for application metrics where another configuration says.
func (s *Sampler) Scrape(metrics config.Metrics) {
	if s.scraper != nil && s.metrics == metrics {
		return
	}

	if s.scraper != nil {
		s.scraper.stop()
	}

	s.metrics, s.scraper = metrics, nil

	if s.namespace != nil && asked(metrics) {
		s.scraper = startScraper(s.namespace, metrics, s.source.ListenPort)
	}
}

// asked reports whether a configuration asks the target for anything.
func asked(metrics config.Metrics) bool {
	return metrics.Port.Number != 0 || metrics.Readiness.Port.Number != 0
}

// openNamespace opens what is read inside of the target's network namespace.
func (s *Sampler) openNamespace() {
	namespace, err := s.source.Namespace()
	if err != nil {
		s.networkError = err.Error()

		return
	}

	if s.target.HostNetwork {
		s.networkError = "the pod uses the node's network: its traffic cannot be separated from the node's"
	}

	s.namespace = &sharedNamespace{Namespace: namespace}
	s.Scrape(s.metrics)
}

func (s *Sampler) openLinks() {
	links, err := s.namespace.Links()
	if err != nil {
		s.networkError = err.Error()

		return
	}

	s.links = links
}

// Close closes everything.
func (s *Sampler) Close() {
	s.cgroup.close()

	if s.scraper != nil {
		s.scraper.stop()
	}

	if s.links != nil {
		s.links.Close()
	}

	if s.namespace != nil {
		s.namespace.Close()
	}
}
