// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/test/bench/result"
)

// calibrate measures the same work on every machine, so that machines can be compared.
func calibrate(_ context.Context, found *result.Guest) error {
	engine := policy.New(config.Default().Policy(), policy.Options{})
	sample := policy.Sample{}

	fd, err := unix.Open("/proc/self/stat", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}

	defer unix.Close(fd) //nolint:errcheck // read only

	buf := make([]byte, 4096)
	there, back := make(chan struct{}), make(chan struct{})

	go func() {
		for range there {
			back <- struct{}{}
		}
	}()

	defer close(there)

	found.Calibration = result.Calibration{
		StepNanoseconds: nanoseconds(func() {
			sample.At += time.Second
			sample.CPU.Total += 0.25
			engine.Step(sample)
		}),
		PreadNanoseconds: nanoseconds(func() { unix.Pread(fd, buf, 0) }), //nolint:errcheck // only the time counts
		SwitchNanoseconds: nanoseconds(func() {
			there <- struct{}{}
			<-back
		}),
	}

	return nil
}

// nanoseconds returns the best time of several runs, because disturbances only add time.
func nanoseconds(do func()) float64 {
	best := 0.0

	for range comparingRounds {
		r := testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				do()
			}
		})

		if once := float64(r.T.Nanoseconds()) / float64(r.N); best == 0 || once < best {
			best = once
		}
	}

	return best
}
