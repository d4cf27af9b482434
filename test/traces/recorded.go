// SPDX-License-Identifier: MPL-2.0

package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/trace"
	"github.com/spegel-guard/spegel-guard/test/incident"
	"github.com/spegel-guard/spegel-guard/test/plant"
)

const (
	// A longer interval than the other traces have keeps the files small: each has several nodes.
	recordedDocument = "interval: 30s\n"
	recordedLasts    = 40 * time.Minute
)

// convert writes a recording, repeated, as one trace of all its nodes: one workload per node, the peers as busy under the
// culprit's ceiling as before.
func convert(path string, recording incident.Recording) error {
	cfg, err := config.Parse([]byte(recordedDocument))
	if err != nil {
		return err
	}

	var samples []trace.Line

	for _, node := range recording.Nodes {
		loop := plant.Loop{Engine: policy.New(cfg.Policy(), policy.Options{Seed: seed}), Step: cfg.Interval.Duration}

		for step := range int(recordedLasts / loop.Step) {
			now := node.At(time.Duration(step) * loop.Step)

			loop.Plant.PerCore = plant.Rates{TX: now.TX / now.CPU, RX: now.RX / now.CPU, Allocation: now.Allocation / now.CPU}
			loop.Run(loop.Step, now.CPU, func(sample policy.Sample, _ policy.Decision) {
				samples = append(samples, line(node.Name, sample))
			})
		}
	}

	slices.SortStableFunc(samples, func(a, b trace.Line) int { return cmp.Compare(a.Sample.At, b.Sample.At) })

	return write(path, append([]trace.Line{header(recordedDocument)}, samples...))
}
