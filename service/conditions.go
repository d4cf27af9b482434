// SPDX-License-Identifier: MPL-2.0

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

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// conditions publishes the conditions of the API and the metrics. Each of them depends on several components, its
// listeners and its certificates, and reports the problems of all.
type conditions struct {
	state  state.State
	logger *zap.Logger

	mu sync.Mutex
	// problems by condition and component.
	problems map[resource.ID]map[string]problem
}

type problem struct {
	reason string
	err    error
}

// reporter returns a function that reports the problem of one component with a reason, or with nil that it has none.
func (c *conditions) reporter(ctx context.Context, condition resource.ID, component, reason string) func(error) {
	return func(err error) { c.report(ctx, condition, component, problem{reason: reason, err: err}) }
}

// report publishes a condition. Its reason is that of the first component with a problem in alphabetical order, which
// puts certificates before listeners.
func (c *conditions) report(ctx context.Context, condition resource.ID, component string, p problem) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.problems == nil {
		c.problems = map[resource.ID]map[string]problem{}
	}

	if c.problems[condition] == nil {
		c.problems[condition] = map[string]problem{}
	}

	problems := c.problems[condition]

	if delete(problems, component); p.err != nil {
		problems[component] = p
	}

	reason := resources.ReasonOK

	var messages []string

	for _, name := range slices.Sorted(maps.Keys(problems)) {
		messages = append(messages, problems[name].err.Error())

		if reason == resources.ReasonOK {
			reason = problems[name].reason
		}
	}

	err := safe.StateModify(ctx, c.state, resources.NewCondition(condition), func(r *resources.Condition) error {
		r.TypedSpec().Set(reason, strings.Join(messages, "; "), boottime.Now())
		resources.SetTimes(r.TypedSpec(), boottime.Wall)

		return nil
	})
	if err != nil && ctx.Err() == nil {
		c.logger.Error("failed to publish a condition", zap.String("condition", condition), zap.Error(err))
	}
}
