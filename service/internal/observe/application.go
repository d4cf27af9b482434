// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// application turns one answer of a target's /metrics after another into rates. A new container gets a new one.
type application struct {
	allocated, cycles, requests, hits Counter
}

// distrusted is for how many readings a counter of an application that went back is unavailable.
const distrusted = 6

func newApplication() *application {
	counter := Counter{Distrust: distrusted}

	return &application{allocated: counter, cycles: counter, requests: counter, hits: counter}
}

// add takes an answer.
func (a *application) add(clock time.Duration, answer gometrics.Metrics) resources.ApplicationStats {
	stats := resources.ApplicationStats{
		Clock:                   clock,
		AllocBytesPerSecond:     rateOf(&a.allocated, clock, answer.AllocBytes),
		GCPerSecond:             rateOf(&a.cycles, clock, answer.GCCycles),
		MirrorRequestsPerSecond: rateOf(&a.requests, clock, answer.MirrorRequests),
		HeapBytes:               gaugeOf(answer.HeapBytes),
		Goroutines:              gaugeOf(answer.Goroutines),
		AdvertisedImages:        gaugeOf(answer.AdvertisedImages),
		AdvertisedTags:          gaugeOf(answer.AdvertisedTags),
		AdvertisedDigests:       gaugeOf(answer.AdvertisedDigests),
		AdvertisedKeys:          gaugeOf(answer.AdvertisedKeys),
	}

	if answer.AllocBytes.Unavailable == "" {
		stats.Allocated = answer.AllocBytes.Number
	}

	stats.MirrorHitRatio = hitRatio(stats.MirrorRequestsPerSecond, rateOf(&a.hits, clock, answer.MirrorHits))

	return stats
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

// unavailableApplication is an application whose metrics cannot be read.
func unavailableApplication(reason string) resources.ApplicationStats {
	r := resources.Unavailable(reason)

	return resources.ApplicationStats{
		AllocBytesPerSecond: r, GCPerSecond: r, HeapBytes: r, Goroutines: r, MirrorRequestsPerSecond: r, MirrorHitRatio: r,
		AdvertisedImages: r, AdvertisedTags: r, AdvertisedDigests: r, AdvertisedKeys: r,
	}
}
