// SPDX-License-Identifier: MPL-2.0

// Package plant is a model of a spegel container under CFS bandwidth control: what it demands and a
// quota in, the kernel's counters out. It stands in for a node where hours must pass in milliseconds.
package plant

import (
	"math"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// Rates are what one busy core sends, receives and allocates in bytes per second. One that is NaN is not measured.
type Rates struct {
	TX, RX, Allocation float64
}

// Rates of the incident and its recordings (test/incident). A peer of a culprit allocates a fourth of what a culprit does for
// the same CPU time.
var (
	CulpritRates = Rates{TX: 1.4e6 / 1.8, RX: 1.13 * 1.4e6 / 1.8, Allocation: 3.8e9 / 60 / 0.91}
	PeerRates    = Rates{TX: 266e3 / 0.342, RX: 236e3 / 0.342, Allocation: 328e6 / 60 / 0.342}
)

// Period is the kernel's default enforcement period.
const Period = 100 * time.Millisecond

// Plant is the container.
type Plant struct {
	// Sample are its counters by now.
	Sample policy.Sample
	// PerCore is zero for CulpritRates.
	PerCore Rates
	// Scrape is the interval at which the allocation is requested, and Late how long the answers take; 0 reads it with each sample.
	Scrape, Late time.Duration

	// allocated are the bytes that the program has allocated by now, if Scrape is set.
	allocated float64
	// requested is when the allocation was requested last, and answers are those that have not come yet.
	requested time.Duration
	answers   []policy.Counter
}

// Run lets it run for a while, demanding some cores under a quota in cores (0 for none).
func (p *Plant) Run(step time.Duration, demand, quota float64) policy.Sample {
	s := &p.Sample
	seconds := step.Seconds()
	used := demand

	s.At += step

	if quota > 0 {
		periods := uint64(step / Period)
		s.Periods += periods

		if demand > quota {
			used = quota
			s.Throttled += periods
			// What is missing is waited for.
			held := (1 - quota/demand) * seconds
			s.ThrottledTime += held
			s.Pressure.Total += held
		}
	}

	s.CPU.Total += used * seconds
	rates := p.PerCore
	if rates == (Rates{}) {
		rates = CulpritRates
	}

	count(&s.TX, used*rates.TX*seconds)
	count(&s.RX, used*rates.RX*seconds)

	if p.Scrape == 0 {
		count(&s.Allocation, used*rates.Allocation*seconds)
	} else {
		p.scrape(step, used*rates.Allocation)
	}

	return *s
}

// scrape requests the allocation at each time that was due in the last step, in which its rate was the same.
func (p *Plant) scrape(step time.Duration, rate float64) {
	s := &p.Sample
	if p.requested == 0 {
		p.requested = max(1, s.At-step)
		s.Allocation.At = p.requested
	}

	p.allocated += rate * step.Seconds()

	for at := p.requested + p.Scrape; at <= s.At; at += p.Scrape {
		p.requested = at
		p.answers = append(p.answers, policy.Counter{Total: p.allocated - rate*(s.At-at).Seconds(), At: at})
	}

	for len(p.answers) > 0 && p.answers[0].At+p.Late <= s.At {
		s.Allocation, p.answers = p.answers[0], p.answers[1:]
	}
}

func count(counter *policy.Counter, bytes float64) {
	if math.IsNaN(bytes) {
		*counter = policy.Counter{Unavailable: "not measured"}

		return
	}

	counter.Total += bytes
}

// Loop closes the loop: each step has the quota that the engine decided in the one before.
type Loop struct {
	Plant  Plant
	Engine *policy.Engine
	// Step is the sampling interval.
	Step time.Duration
	// Owner is the owner's own limit in cores, 0 for none.
	Owner float64
	// Override is the ceiling of an override in cores, 0 for none.
	Override float64
	// Unwritten: the decisions have no effect, as without permission to write.
	Unwritten bool
	// Stuck: a ceiling in force cannot be lifted, as after the hierarchy became read-only.
	Stuck bool

	quota   float64
	applied time.Duration
}

// Run goes on for a while with a demand in cores, and hands every sample and decision to the caller.
func (l *Loop) Run(d time.Duration, demand float64, see func(policy.Sample, policy.Decision)) {
	for end := l.Plant.Sample.At + d; l.Plant.Sample.At < end; {
		quota := l.quota

		for _, limit := range []float64{l.Owner, l.Override} {
			if limit > 0 && (quota == 0 || limit < quota) {
				quota = limit
			}
		}

		l.Plant.Sample.Owner, l.Plant.Sample.Override, l.Plant.Sample.Applied = l.Owner, l.Override, l.applied
		sample := l.Plant.Run(l.Step, demand, quota)
		decision := l.Engine.Step(sample)

		stuck := l.quota

		l.quota = 0
		if decision.Held && decision.Hold.Enforced() && !l.Unwritten {
			l.quota = float64(decision.Hold.Millicores) / 1000
		}

		if l.Stuck && l.quota == 0 {
			l.quota = stuck
		}

		switch {
		case l.quota == 0:
			l.applied = 0
		case l.applied == 0:
			l.applied = sample.At
		}

		if see != nil {
			see(sample, decision)
		}
	}
}
