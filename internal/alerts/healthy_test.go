// SPDX-License-Identifier: MPL-2.0

package alerts_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spegel-guard/spegel-guard/test/incident"
)

// rates of a pod: cores, bytes sent and bytes allocated per second.
type rates struct {
	pod, node      string
	cpu, tx, alloc float64
}

// culprit and affected are the incident's table.
var (
	culprit  = ratesOf(1)
	affected = []rates{ratesOf(0), ratesOf(2)}
)

func ratesOf(row int) rates {
	f := incident.Table()[row]

	return rates{"spegel-" + strings.TrimPrefix(f.Name, "talos-prod-") + "x7k2", f.Name, f.CPU, f.TX, f.Allocation}
}

const (
	// step of the series in seconds: the kubelet's usual scrape interval.
	step = 30
	// length is the number of their steps: an hour.
	length = 120
)

// fleet has series by their names and labels.
type fleet map[string]string

// constant returns the values of a gauge.
func constant(value float64) string { return fmt.Sprintf("%g+0x%d", value, length) }

// rising returns the values of a counter.
func rising(perSecond float64) string { return fmt.Sprintf("0+%gx%d", perSecond*step, length) }

// with returns the fleet with other series, or other values of the same.
func (f fleet) with(other fleet) fleet {
	both := maps.Clone(f)
	maps.Copy(both, other)

	return both
}

func (f fleet) series() []series {
	var all []series

	for _, name := range slices.Sorted(maps.Keys(f)) {
		all = append(all, series{name, f[name]})
	}

	return all
}

// pods returns the series of the kubelet and of spegel for a pod.
func (r rates) pods() fleet {
	labels := fmt.Sprintf(`namespace="spegel", pod=%q, node=%q`, r.pod, r.node)

	return fleet{
		`container_cpu_usage_seconds_total{container="registry", ` + labels + `}`:         rising(r.cpu),
		`container_network_transmit_bytes_total{interface="eth0", ` + labels + `}`:        rising(r.tx),
		`container_network_transmit_bytes_total{interface="lo", ` + labels + `}`:          rising(1e9),
		`container_network_receive_bytes_total{interface="eth0", ` + labels + `}`:         rising(0.8e6),
		`go_memstats_alloc_bytes_total{container="registry", ` + labels + `}`:             rising(r.alloc),
		`container_cpu_usage_seconds_total{container="busy", pod="batch-` + r.node + `"}`: rising(8),
	}
}

// of has the labels of the series of the guard with a problem, and target those of the series of its target.
const (
	of     = `job="spegel-guard", instance="talos-prod-2"`
	target = `namespace="spegel", pod="spegel-2x7k2", container="registry", ` + of
)

// healthy is a fleet with guards and affected nodes. The guard of talos-prod-1 was busy earlier: it throttled once, a probe
// failed, and cpu.max was changed. The job of another program is down.
func healthy() fleet {
	all := fleet{`up{job="other", instance="talos-prod-2"}`: constant(0)}

	for _, r := range affected {
		guard := fmt.Sprintf(`job="spegel-guard", instance=%q`, r.node)
		workload := fmt.Sprintf(`namespace="spegel", pod=%q, container="registry", %s`, r.pod, guard)

		all = all.with(r.pods()).with(fleet{
			`up{` + guard + `}`:                                               constant(1),
			`spegel_guard_state{state="ok", ` + guard + `}`:                   constant(1),
			`spegel_guard_state{state="unavailable", ` + guard + `}`:          constant(0),
			`spegel_guard_throttles_total{` + workload + `}`:                  constant(1),
			`spegel_guard_ceiling_failed_probes{` + workload + `}`:            constant(1),
			`spegel_guard_external_changes_total{` + workload + `}`:           constant(1),
			`spegel_guard_last_sample_timestamp_seconds{` + workload + `}`:    rising(1),
			`spegel_guard_apply_failures_total{errno="EROFS", ` + guard + `}`: constant(0),
		})
	}

	return all
}
