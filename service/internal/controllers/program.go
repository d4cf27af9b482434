//go:build linux

package controllers

import (
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// program turns one answer after another into rates. A container that restarts gets a new one.
type program struct {
	allocated, cycles, requests, hits counter
}

// add takes an answer.
func (p *program) add(clock time.Duration, answer gometrics.Metrics) resources.ApplicationStats {
	stats := resources.ApplicationStats{
		Clock:                   clock,
		AllocBytesPerSecond:     p.allocated.rate(clock, answer.AllocBytes),
		GCPerSecond:             p.cycles.rate(clock, answer.GCCycles),
		MirrorRequestsPerSecond: p.requests.rate(clock, answer.MirrorRequests),
		HeapBytes:               told(answer.HeapBytes),
		Goroutines:              told(answer.Goroutines),
		AdvertisedImages:        told(answer.AdvertisedImages),
		AdvertisedTags:          told(answer.AdvertisedTags),
		AdvertisedDigests:       told(answer.AdvertisedDigests),
		AdvertisedKeys:          told(answer.AdvertisedKeys),
	}

	if answer.AllocBytes.Unavailable == "" {
		stats.Allocated = answer.AllocBytes.Number
	}

	stats.MirrorHitRatio = hitRatio(stats.MirrorRequestsPerSecond, p.hits.rate(clock, answer.MirrorHits))

	return stats
}

// hitRatio is the share of what was asked for that was there.
func hitRatio(requests, hits resources.Reading) resources.Reading {
	switch {
	case !requests.Known():
		return requests
	case !hits.Known():
		return hits
	case requests.Value == 0:
		return unavailable("nothing was asked for")
	default:
		return resources.Reading{Value: round(hits.Value / requests.Value), Provenance: resources.ProvenanceDerived}
	}
}

// told is a value as the program gave it.
func told(value gometrics.Value) resources.Reading {
	if value.Unavailable != "" {
		return unavailable(value.Unavailable)
	}

	return measured(value.Number)
}

// wentBack is the reason of a rate whose counter is not one.
const wentBack = "the counter went back, which it never does while the process lives"

// distrusted is for how many readings a counter that went back is not believed.
const distrusted = 6

// counter is a cumulative value of a program.
type counter struct {
	value      float64
	at         time.Duration
	distrusted int
}

// rate is the increase per second since the reading before.
func (c *counter) rate(clock time.Duration, value gometrics.Value) resources.Reading {
	if value.Unavailable != "" {
		*c = counter{distrusted: c.distrusted}

		return unavailable(value.Unavailable)
	}

	before := *c
	c.value, c.at = value.Number, clock

	switch {
	case before.at != 0 && c.value < before.value:
		c.distrusted = distrusted
	case c.distrusted > 0:
		c.distrusted--
	}

	switch {
	case c.distrusted > 0:
		return unavailable(wentBack)
	case before.at == 0 || clock <= before.at:
		return resources.Warming()
	default:
		return measured((c.value - before.value) / (clock - before.at).Seconds())
	}
}

// unavailableApplication is a program that says nothing.
func unavailableApplication(reason string) resources.ApplicationStats {
	return (&program{}).add(0, gometrics.Unavailable(reason))
}
