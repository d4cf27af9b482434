// SPDX-License-Identifier: MPL-2.0

package policy

import "time"

// Usage is what a workload used over some time.
type Usage struct {
	// Over is how much time; 0 when nothing was measured.
	Over time.Duration `json:"over"`
	// CoreSeconds of CPU time.
	CoreSeconds float64 `json:"coreSeconds"`
	TXBytes     float64 `json:"txBytes"`
	RXBytes     float64 `json:"rxBytes"`
	// AllocatedBytes were allocated in AllocatedOver, the times between readings that lie in that time as a whole: application
	// metrics are read less often than samples are taken.
	AllocatedBytes float64       `json:"allocatedBytes"`
	AllocatedOver  time.Duration `json:"allocatedOver"`
	// ThrottledTime in seconds, of all CPUs together.
	ThrottledTime float64 `json:"throttledTime"`
	// MirrorRequests, MirrorHits of them were served from peers, and UnreadySeconds is the time not ready; 0 when unknown.
	MirrorRequests float64 `json:"mirrorRequests,omitempty"`
	MirrorHits     float64 `json:"mirrorHits,omitempty"`
	UnreadySeconds float64 `json:"unreadySeconds,omitempty"`
}

// Cores returns the average CPU use.
func (u Usage) Cores() float64 { return u.perSecond(u.CoreSeconds) }

// TXPerSecond returns the bytes sent per second.
func (u Usage) TXPerSecond() float64 { return u.perSecond(u.TXBytes) }

// RXPerSecond returns the bytes received per second.
func (u Usage) RXPerSecond() float64 { return u.perSecond(u.RXBytes) }

// AllocatedPerSecond returns the bytes allocated per second.
func (u Usage) AllocatedPerSecond() float64 {
	if u.AllocatedOver <= 0 {
		return 0
	}

	return u.AllocatedBytes / u.AllocatedOver.Seconds()
}

func (u Usage) perSecond(total float64) float64 {
	if u.Over <= 0 {
		return 0
	}

	return total / u.Over.Seconds()
}

func (u Usage) minus(v Usage) Usage {
	return Usage{
		Over: u.Over - v.Over, CoreSeconds: u.CoreSeconds - v.CoreSeconds,
		TXBytes: u.TXBytes - v.TXBytes, RXBytes: u.RXBytes - v.RXBytes,
		AllocatedBytes: u.AllocatedBytes - v.AllocatedBytes, AllocatedOver: u.AllocatedOver - v.AllocatedOver, ThrottledTime: u.ThrottledTime - v.ThrottledTime,
		MirrorRequests: u.MirrorRequests - v.MirrorRequests, MirrorHits: u.MirrorHits - v.MirrorHits, UnreadySeconds: u.UnreadySeconds - v.UnreadySeconds,
	}
}
