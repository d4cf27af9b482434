// SPDX-License-Identifier: MPL-2.0

package trace

import (
	"fmt"
	"io"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// maxWorkloads bounds the workloads of a replay: each has a window of samples in memory. A pod that is replaced is another workload.
const maxWorkloads = 4096

// ErrTooManyWorkloads is returned for a trace with more than 4096 workloads.
var ErrTooManyWorkloads = fmt.Errorf("the trace has more than %d workloads: replay a part of it", maxWorkloads)

// Step is one sample of a replay and what the policy decides on it.
type Step struct {
	Workload string
	// Sample as recorded, and Elapsed since the trace's first sample.
	Sample   policy.Sample
	Elapsed  time.Duration
	Decision policy.Decision
}

// Replay runs the policy over a trace and calls each with every step. A decision's rules are valid until the next step.
//
// It decides by the configuration, or without one (nil) by those that were recorded. The samples were taken under the
// ceilings of the recorded decisions; a replay cannot show what the workload would have done under others. It returns
// ErrTooManyWorkloads for a trace with more than 4096 workloads.
func Replay(r io.Reader, with *config.Config, each func(Step)) error {
	p := &player{with: with, workloads: map[string]*played{}}

	for line, err := range Read(r) {
		if err != nil {
			return err
		}

		if line.Header != nil {
			if err := p.configure(*line.Header); err != nil {
				return err
			}

			continue
		}

		step, err := p.step(*line.Sample)
		if err != nil {
			return err
		}

		each(step)
	}

	return nil
}

type player struct {
	with      *config.Config
	config    policy.Config
	seed      uint64
	document  string
	workloads map[string]*played

	begun bool
	first time.Duration
}

type played struct {
	engine    *policy.Engine
	container string
}

// configure decides by the header from here on. A header that changes nothing is the first line of a file that follows
// a full one: the engines go on.
func (p *player) configure(header Header) error {
	if header.Config == p.document && header.Seed == p.seed && len(p.workloads) > 0 {
		return nil
	}

	p.document, p.seed = header.Config, header.Seed

	if p.with != nil {
		p.config = p.with.Policy()

		return nil
	}

	cfg, err := config.Parse([]byte(header.Config))
	if err != nil {
		return fmt.Errorf("failed to parse the recorded configuration: %w", err)
	}

	p.config = cfg.Policy()

	for _, w := range p.workloads {
		w.engine = policy.New(p.config, policy.Options{Seed: p.seed, Saved: w.engine.SavedState()})
	}

	return nil
}

func (p *player) step(sample Sample) (Step, error) {
	w, ok := p.workloads[sample.Workload]
	if !ok {
		if len(p.workloads) == maxWorkloads {
			return Step{}, ErrTooManyWorkloads
		}

		w = &played{engine: policy.New(p.config, policy.Options{Seed: p.seed}), container: sample.Container}
		p.workloads[sample.Workload] = w
	}

	if w.container != sample.Container {
		w.container = sample.Container
		w.engine.Restart()
	}

	if !p.begun {
		p.begun, p.first = true, sample.At
	}

	decision := w.engine.Step(sample.Sample)

	return Step{Workload: sample.Workload, Sample: sample.Sample, Elapsed: sample.At - p.first, Decision: decision}, nil
}
