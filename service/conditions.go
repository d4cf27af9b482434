// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// problem of one of the things that a part is served by; without an error there is none.
type problem struct {
	reason string
	err    error
}

// conditions publishes how it stands with parts that more than one thing can keep from being served.
type conditions struct {
	state  state.State
	logger *zap.Logger

	mu sync.Mutex
	// problems by part and by what has it.
	problems map[resource.ID]map[string]problem
}

// report takes how it stands with one thing of a part, and publishes all of the part's problems. The first in
// alphabetical order, certificates before listeners, gives the reason.
func (c *conditions) report(ctx context.Context, part resource.ID, what string, p problem) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.problems == nil {
		c.problems = map[resource.ID]map[string]problem{}
	}

	if c.problems[part] == nil {
		c.problems[part] = map[string]problem{}
	}

	if delete(c.problems[part], what); p.err != nil {
		c.problems[part][what] = p
	}

	reason := resources.ReasonOK

	var messages []string

	for _, name := range slices.Sorted(maps.Keys(c.problems[part])) {
		known := c.problems[part][name]
		messages = append(messages, known.err.Error())

		if reason == resources.ReasonOK {
			reason = known.reason
		}
	}

	err := safe.StateModify(ctx, c.state, resources.NewCondition(part), func(r *resources.Condition) error {
		r.TypedSpec().Set(reason, strings.Join(messages, "; "))

		return nil
	})
	if err != nil && ctx.Err() == nil {
		c.logger.Error("error setting a condition", zap.Error(err))
	}
}

// reporter reports how it stands with one listener of a part.
func (s *serving) reporter(ctx context.Context, condition resource.ID, listener string) func(error) {
	return func(err error) {
		s.conditions.report(ctx, condition, listener, problem{reason: resources.ReasonNotServed, err: err})
	}
}

// certificate says how it stands with certificates, for whoever still can see it.
func (s *serving) certificate(ctx context.Context, c certificates, err error) {
	if err == nil {
		s.logger.Info("certificates are in force", zap.String("for", c.condition))
	} else {
		consequence := "what was there before stays in force"
		if current, _ := c.store.Current(); current == nil {
			consequence = "without one there is no TCP listener"
		}

		err = fmt.Errorf("%w; %s", err, consequence)

		s.logger.Warn("certificates", zap.String("for", c.condition), zap.Error(err))
	}

	s.conditions.report(ctx, c.condition, "certificates", problem{reason: resources.ReasonNoCertificate, err: err})
}
