// SPDX-License-Identifier: MPL-2.0

// Command traces writes the traces that the tests replay (go generate ./pkg/trace): hours of a modelled
// spegel container, judged by the defaults while they were recorded.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
	"github.com/spegel-guard/spegel-guard/test/plant"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "traces:", err)
		os.Exit(1)
	}
}

// phase is a demand in cores for a while.
type phase struct {
	lasts time.Duration
	cores float64
}

type scenario struct {
	name     string
	document string
	phases   []phase
}

// seed draws every node's own part: the noise and the start of the credits.
const seed = 2

const (
	// healthy, culprit and victim are a node's cores in the recorded incident (shared/incident-traces).
	healthy, culprit, victim = 0.006, 0.909, 0.342

	observe = "mode: observe\ninterval: 10s\n"
	enforce = "interval: 10s\n"
)

func scenarios() []scenario {
	return []scenario{
		{"idle", enforce, []phase{{2 * time.Hour, healthy}}},
		{"incident", enforce, []phase{{10 * time.Minute, 0.25}, {50 * time.Minute, 1.8}}},
		{"culprit", enforce, []phase{{10 * time.Minute, healthy}, {20 * time.Minute, culprit}}},
		{"victim", enforce, []phase{{10 * time.Minute, healthy}, {50 * time.Minute, victim}}},
		// Spegel up to v0.5.x: every 9 minutes it advertises for 5. Nothing was capped while it was recorded.
		{"bursts", observe, repeat(8, phase{5 * time.Minute, 1.6}, phase{4 * time.Minute, healthy})},
		{"pull-storm", enforce, []phase{{10 * time.Minute, healthy}, {3 * time.Minute, 1.8}, {47 * time.Minute, healthy}}},
		{"flapping", "interval: 15s\n", flapping()},
		// Demand that goes on under a ceiling below the threshold, where usage alone looks calm.
		{"capped", enforce + "ceiling: {cpu: 250m}\n", []phase{{10 * time.Minute, healthy}, {80 * time.Minute, 1.8}}},
	}
}

func repeat(times int, phases ...phase) []phase {
	var all []phase

	for range times {
		all = append(all, phases...)
	}

	return all
}

// flapping is six hours of a load that comes back as soon as it may.
func flapping() []phase {
	var (
		phases []phase
		total  time.Duration
	)

	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // it must come out the same again

	for total < 6*time.Hour {
		on := time.Duration(10+random.IntN(5)) * time.Minute
		off := time.Duration(5+random.IntN(25)) * time.Minute
		phases = append(phases, phase{on, 1.2 + 0.6*random.Float64()}, phase{off, healthy})
		total += on + off
	}

	return phases
}

func run() error {
	dir := flag.String("dir", "testdata", "where to write")
	flag.Parse()

	for _, s := range scenarios() {
		if err := record(filepath.Join(*dir, s.name+".jsonl"), s); err != nil {
			return fmt.Errorf("error recording %s: %w", s.name, err)
		}
	}

	return nil
}

func record(path string, s scenario) error {
	cfg, err := config.Parse([]byte(s.document))
	if err != nil {
		return err
	}

	file, err := os.Create(path)
	if err != nil {
		return err
	}

	defer file.Close() //nolint:errcheck // flushed below

	out := bufio.NewWriter(file)

	write := func(line trace.Line) {
		data, encodeErr := trace.Encode(line)
		if encodeErr != nil {
			err = encodeErr
		}

		out.Write(data) //nolint:errcheck // the writer keeps its error until Flush
	}

	write(trace.Line{Header: &trace.Header{Version: trace.Version, Config: s.document, Seed: seed}})

	loop := plant.Loop{Engine: policy.New(cfg, policy.Options{Seed: seed}), Step: cfg.Interval.Duration}
	random := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // it must come out the same again

	for _, p := range s.phases {
		for range p.lasts / loop.Step {
			loop.Run(loop.Step, p.cores*(0.9+0.2*random.Float64()), func(sample policy.Sample, _ policy.Decision) {
				write(trace.Line{Sample: &trace.Sample{Workload: "spegel/spegel-x7k2p/registry", Container: "c1", Sample: rounded(sample)}})
			})
		}
	}

	if err != nil {
		return err
	}

	return out.Flush()
}

// rounded keeps what the kernel's files would have: microseconds and bytes.
func rounded(s policy.Sample) policy.Sample {
	micro := func(v float64) float64 { return math.Round(v*1e6) / 1e6 }

	s.CPU.Total, s.Pressure.Total, s.ThrottledTime = micro(s.CPU.Total), micro(s.Pressure.Total), micro(s.ThrottledTime)
	s.TX.Total, s.RX.Total, s.Allocation.Total = math.Round(s.TX.Total), math.Round(s.RX.Total), math.Round(s.Allocation.Total)

	return s
}
