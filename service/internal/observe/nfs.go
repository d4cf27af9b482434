// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/nodestat"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// nfsRates makes rates of the counters of all NFS mounts. They are read less often than the node is sampled.
type nfsRates struct {
	read, write, operations, answered, roundTrip Counter

	fileSystems []string
	at          time.Duration
	// last are the readings of the newest counters.
	last [4]resources.Reading
}

// sample writes the newest readings.
func (r *nfsRates) sample(stats *resources.NodeStatsSpec, nfs timed[nodestat.NFS], err error) {
	switch {
	case err != nil:
		r.lose(resources.Unavailable(err.Error()))
	case len(nfs.value.FileSystems) == 0 && nfs.value.Incomplete != nil:
		r.lose(resources.Unavailable(nfs.value.Incomplete.Error()))
	case len(nfs.value.FileSystems) == 0:
		r.lose(resources.Unavailable("no NFS is mounted"))
	case nfs.at != r.at:
		r.add(nfs)
	}

	stats.NFSReadBytesPerSecond, stats.NFSWriteBytesPerSecond = r.last[0], r.last[1]
	stats.NFSOperationsPerSecond, stats.NFSRoundTripSeconds = r.last[2], r.last[3]
}

func (r *nfsRates) add(nfs timed[nodestat.NFS]) {
	// A mount brings its counters, or takes them away.
	if !slices.Equal(nfs.value.FileSystems, r.fileSystems) {
		r.lose(resources.Warming())
	}

	v, at := nfs.value, nfs.at
	r.fileSystems, r.at = v.FileSystems, at

	r.last = [4]resources.Reading{
		r.read.Rate(at, float64(v.ReadBytes), 1), r.write.Rate(at, float64(v.WriteBytes), 1), r.operations.Rate(at, float64(v.Operations), 1),
		r.meanRoundTrip(at, float64(v.RoundTripMilliseconds), float64(v.Operations)),
	}

	for i := range r.last {
		if v.Incomplete != nil && r.last[i].Known() {
			r.last[i].Reason = "incomplete: " + v.Incomplete.Error()
		}
	}
}

// meanRoundTrip is the mean over the operations that were answered since the reading before, in seconds.
func (r *nfsRates) meanRoundTrip(at time.Duration, milliseconds, operations float64) resources.Reading {
	first := r.answered.at == 0
	spent, answered := r.roundTrip.add(at, milliseconds), r.answered.add(at, operations)

	switch {
	case first:
		return resources.Warming()
	case answered == 0:
		return resources.Unavailable("no operation was answered")
	default:
		return resources.Derived(Round(spent / 1e3 / answered))
	}
}

// lose forgets the counters.
func (r *nfsRates) lose(reading resources.Reading) {
	*r = nfsRates{last: [4]resources.Reading{reading, reading, reading, reading}}
}
