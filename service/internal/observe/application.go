// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"cmp"
	"math"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// application turns one answer of a target's /metrics after another into rates. A new container gets a new one.
type application struct {
	allocated, cycles, requests, hits, resolveSeconds, resolves Counter
	unready                                                     outage
}

// distrusted is for how many readings a counter of an application that went back is unavailable.
const distrusted = 6

func newApplication() *application {
	counter := Counter{Distrust: distrusted}

	return &application{
		allocated: counter, cycles: counter, requests: counter, hits: counter, resolveSeconds: counter, resolves: counter,
	}
}

// add takes an answer. Ready is 1 when the target was ready, 0 when it was not.
func (a *application) add(clock time.Duration, answer gometrics.Metrics, ready gometrics.Value) resources.ApplicationStats {
	a.unready.add(clock, ready)

	stats := resources.ApplicationStats{
		Clock:                    clock,
		Allocated:                answer.AllocBytes.Number,
		AllocBytesPerSecond:      rateOf(&a.allocated, clock, answer.AllocBytes),
		GCPerSecond:              rateOf(&a.cycles, clock, answer.GCCycles),
		HeapBytes:                gaugeOf(answer.HeapBytes),
		Goroutines:               gaugeOf(answer.Goroutines),
		AdvertisedImages:         gaugeOf(answer.AdvertisedImages),
		AdvertisedTags:           gaugeOf(answer.AdvertisedTags),
		AdvertisedDigests:        gaugeOf(answer.AdvertisedDigests),
		AdvertisedKeys:           gaugeOf(answer.AdvertisedKeys),
		AdvertisedContentDigests: gaugeOf(answer.AdvertisedContentDigests),
		MirrorRequests:           answer.MirrorRequests.Number,
		MirrorHits:               answer.MirrorHits.Number,
		MirrorRequestsPerSecond:  rateOf(&a.requests, clock, answer.MirrorRequests),
		MirrorHitsPerSecond:      rateOf(&a.hits, clock, answer.MirrorHits),
		MirrorLastSuccess:        gaugeOf(answer.MirrorLastSuccess),
		ResolveSeconds:           a.resolve(clock, answer.ResolveSeconds, answer.Resolves),
		Ready:                    gaugeOf(ready),
		UnreadySeconds:           Round(a.unready.seconds),
	}

	stats.MirrorHitRatio = hitRatio(stats.MirrorRequestsPerSecond, stats.MirrorHitsPerSecond)

	if stats.MirrorLastSuccess == measured(0) {
		stats.MirrorLastSuccess = resources.Unavailable("no peer has served a request yet")
	}

	return stats
}

// resolve returns the mean time to a peer since the answer before.
func (a *application) resolve(clock time.Duration, seconds, count gometrics.Value) resources.Reading {
	if seconds.Unavailable != "" || count.Unavailable != "" {
		a.resolveSeconds.Lose()
		a.resolves.Lose()

		return gaugeOf(gometrics.Value{Unavailable: cmp.Or(seconds.Unavailable, count.Unavailable)})
	}

	first := a.resolves.at == 0
	took, peers := a.resolveSeconds.add(clock, seconds.Number), a.resolves.add(clock, count.Number)

	switch {
	case a.resolveSeconds.distrusted > 0 || a.resolves.distrusted > 0:
		return resources.Unavailable(reasonWentBack)
	case first:
		return resources.Warming()
	case peers == 0:
		return resources.Unavailable("no lookup has found a peer since the answer before")
	default:
		return resources.Derived(math.Round(1e6*took/peers) / 1e6)
	}
}

// outage adds up the time in which a target is not ready.
type outage struct {
	seconds float64
	// at is the time of the answer before; 0 when there was none.
	at time.Duration
}

// add takes an answer: the time since the one before counts when the target is not ready.
func (o *outage) add(clock time.Duration, ready gometrics.Value) {
	if ready.Unavailable != "" {
		o.at = 0

		return
	}

	if o.at != 0 && ready.Number == 0 {
		o.seconds += (clock - o.at).Seconds()
	}

	o.at = clock
}

// hitRatio is the share of the requests that were answered from the mirror.
func hitRatio(requests, hits resources.Reading) resources.Reading {
	switch {
	case !requests.Known():
		return requests
	case !hits.Known():
		return hits
	case requests.Value == 0:
		return resources.Unavailable("there were no requests")
	default:
		return resources.Derived(Round(hits.Value / requests.Value))
	}
}

func rateOf(counter *Counter, clock time.Duration, value gometrics.Value) resources.Reading {
	if value.Unavailable != "" {
		counter.Lose()

		return resources.Unavailable(value.Unavailable)
	}

	return counter.Rate(clock, value.Number, 1)
}

func gaugeOf(value gometrics.Value) resources.Reading {
	if value.Unavailable != "" {
		return resources.Unavailable(value.Unavailable)
	}

	return measured(value.Number)
}

// Reasons of what the configuration does not ask for.
const (
	reasonNoMetrics   = "target.metrics.port is 0"
	reasonNoReadiness = "target.metrics.readiness.port is 0"
)

// unavailableApplication is an application whose metrics and readiness cannot be read.
func unavailableApplication(metrics, readiness string) resources.ApplicationStats {
	r := resources.Unavailable(metrics)

	return resources.ApplicationStats{
		AllocBytesPerSecond: r, GCPerSecond: r, HeapBytes: r, Goroutines: r,
		AdvertisedImages: r, AdvertisedTags: r, AdvertisedDigests: r, AdvertisedKeys: r, AdvertisedContentDigests: r,
		MirrorRequestsPerSecond: r, MirrorHitsPerSecond: r, MirrorHitRatio: r, MirrorLastSuccess: r, ResolveSeconds: r,
		Ready: resources.Unavailable(readiness),
	}
}
