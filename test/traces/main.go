// SPDX-License-Identifier: MPL-2.0

// Command traces writes the traces that the tests replay (go generate ./pkg/trace): hours of a modelled spegel
// container, with the decisions of the defaults in force.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
	"github.com/spegel-guard/spegel-guard/test/incident"
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
	// perCore is zero for plant.CulpritRates.
	perCore plant.Rates
}

type scenario struct {
	name     string
	document string
	phases   []phase
}

// seed draws what differs between nodes: the noise and the start of the credits.
const seed = 2

const (
	// healthy, culprit and affected are a node's cores in the recordings (test/incident).
	healthy, culprit, affected = 0.006, 0.909, 0.342

	observe = "mode: observe\ninterval: 10s\n"
	enforce = "interval: 10s\n"
)

// pulled is what a core sends and allocates that serves layers to other nodes: much traffic, few allocations.
var pulled = plant.Rates{TX: 133e6, RX: 1e6, Allocation: 400e6 / 60}

func scenarios() []scenario {
	return []scenario{
		{"idle", enforce, []phase{{lasts: 2 * time.Hour, cores: healthy}}},
		{"incident", enforce, []phase{{lasts: 10 * time.Minute, cores: 0.25, perCore: plant.PeerRates}, {lasts: 50 * time.Minute, cores: 1.8}}},
		{"culprit", enforce, []phase{{lasts: 10 * time.Minute, cores: healthy}, {lasts: 20 * time.Minute, cores: culprit}}},
		{"affected", enforce, []phase{{lasts: 10 * time.Minute, cores: healthy}, {lasts: 50 * time.Minute, cores: affected, perCore: plant.PeerRates}}},
		// Spegel up to v0.5.x: every 9 minutes it advertises for 5. No ceiling was in force while it was recorded.
		{"bursts", observe, repeat(8, phase{lasts: 5 * time.Minute, cores: 1.6}, phase{lasts: 4 * time.Minute, cores: healthy})},
		{"pull-storm", enforce, []phase{{lasts: 10 * time.Minute, cores: healthy}, {lasts: 3 * time.Minute, cores: 1.8, perCore: pulled}, {lasts: 47 * time.Minute, cores: healthy}}},
		{"flapping", "interval: 15s\n", flapping()},
		// Demand that goes on under a ceiling below the threshold, where usage alone looks calm.
		{"throttled", enforce + "ceiling: {cpu: 250m}\n", []phase{{lasts: 10 * time.Minute, cores: healthy}, {lasts: 80 * time.Minute, cores: 1.8}}},
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
		phases = append(phases, phase{lasts: on, cores: 1.2 + 0.6*random.Float64()}, phase{lasts: off, cores: healthy})
		total += on + off
	}

	return phases
}

func run() error {
	dir := flag.String("dir", "testdata", "where to write")
	flag.Parse()

	for _, s := range scenarios() {
		if err := record(filepath.Join(*dir, s.name+".jsonl"), s); err != nil {
			return fmt.Errorf("failed to record %s: %w", s.name, err)
		}
	}

	recordings, err := incident.Recordings()
	if err != nil {
		return err
	}

	for _, r := range recordings {
		if err := convert(filepath.Join(*dir, "recorded-"+r.Name+".jsonl"), r); err != nil {
			return fmt.Errorf("failed to convert %s: %w", r.Name, err)
		}
	}

	return nil
}

func record(path string, s scenario) error {
	cfg, err := config.Parse([]byte(s.document))
	if err != nil {
		return err
	}

	lines := []trace.Line{header(s.document)}
	loop := plant.Loop{Engine: policy.New(cfg.Policy(), policy.Options{Seed: seed}), Step: cfg.Interval.Duration}
	random := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // it must come out the same again

	for _, p := range s.phases {
		loop.Plant.PerCore = p.perCore

		for range p.lasts / loop.Step {
			loop.Run(loop.Step, p.cores*(0.9+0.2*random.Float64()), func(sample policy.Sample, _ policy.Decision) {
				lines = append(lines, line("x7k2p", sample))
			})
		}
	}

	return write(path, lines)
}
