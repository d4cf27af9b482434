// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"time"
)

// Mode determines when the workload advertises.
type Mode string

// Modes of the workload.
const (
	// ModeIdle advertises nothing.
	ModeIdle Mode = "idle"
	// ModeHealthy spreads one sweep over the blobs evenly over SweepPeriod, as spegel does since v0.6.0.
	ModeHealthy Mode = "healthy"
	// ModeSustained starts the next sweep as soon as one ends: the incident.
	ModeSustained Mode = "sustained"
	// ModePeriodic sweeps for the time On, then rests for Off, as spegel up to v0.5.x.
	ModePeriodic Mode = "periodic"
	// ModePaced advertises at Rate.
	ModePaced Mode = "paced"
	// ModeSpinning begins a lookup that never ends, as in spegel v0.6.0. It goes on in every later mode.
	ModeSpinning Mode = "spinning"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mode) UnmarshalText(text []byte) error {
	switch mode := Mode(text); mode {
	case ModeIdle, ModeHealthy, ModeSustained, ModePeriodic, ModePaced, ModeSpinning:
		*m = mode

		return nil
	default:
		return fmt.Errorf("invalid mode %q: must be idle, healthy, sustained, periodic, paced or spinning", text)
	}
}

// MarshalText implements encoding.TextMarshaler.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m), nil }

// SweepPeriod is spegel's reprovide interval in the healthy mode.
const SweepPeriod = 10 * time.Minute

// Load is the load of the workload.
type Load struct {
	Mode Mode `json:"mode"`
	// Blobs is the number of blobs on the node, each a key of a sweep.
	Blobs int `json:"blobs"`
	// Workers is the number of concurrent sweeps, and so the number of cores that can be used.
	Workers int `json:"workers"`
	// Peers are the host:port addresses of peers.
	Peers []string `json:"peers"`
	// Payload is the size of one advertisement in bytes.
	Payload int `json:"payload"`
	// On and Off are the times of the periodic mode.
	On  time.Duration `json:"on"`
	Off time.Duration `json:"off"`
	// Cost is the least CPU time of an advertisement, and of a lookup of the spinning mode. With it the bytes sent are proportional to the CPU time on any
	// machine.
	Cost time.Duration `json:"cost"`
	// Rate of the paced mode, in bytes of payload per second.
	Rate float64 `json:"rate"`
}

// DefaultLoad is a healthy node of the incident's cluster.
func DefaultLoad() Load {
	return Load{
		Mode: ModeHealthy, Blobs: 800, Workers: 2, Payload: 1200,
		On: 5 * time.Minute, Off: 4 * time.Minute,
	}
}

// advertising returns whether the load advertises at a time since it was set, and the time to wait before each key.
func (l Load) advertising(since time.Duration) (bool, time.Duration) {
	switch l.Mode {
	case ModeHealthy:
		if l.Blobs == 0 {
			return false, 0
		}

		return true, SweepPeriod / time.Duration(l.Blobs)
	case ModeSustained:
		return true, 0
	case ModePaced:
		return l.Rate > 0, time.Duration(float64(l.Payload) / l.Rate * float64(time.Second))
	case ModePeriodic:
		return since%(l.On+l.Off) < l.On, 0
	default:
		return false, 0
	}
}
