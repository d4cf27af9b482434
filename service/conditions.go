//go:build linux

package main

import (
	"context"
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
