// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// NodeController publishes the facts of the node. No decision waits for them.
type NodeController struct {
	Host host.Host
	// Content is the folder of containerd's content store.
	Content string
	// Pods knows the node's pods.
	Pods discover.Labels
	// History takes the traffic, for the API.
	History *record.History
	// Interval between two samples; 0 for the default.
	Interval time.Duration
}

// Name implements controller.Controller.
func (*NodeController) Name() string { return "guard.NodeController" }

// Inputs implements controller.Controller.
func (*NodeController) Inputs() []controller.Input { return nil }

// Outputs implements controller.Controller.
func (*NodeController) Outputs() []controller.Output {
	return []controller.Output{{Type: resources.NodeStatsType, Kind: controller.OutputExclusive}}
}

// Run implements controller.Controller.
func (c *NodeController) Run(ctx context.Context, r controller.Runtime, _ *zap.Logger) error {
	interval := cmp.Or(c.Interval, observe.NodeInterval)
	node := observe.NewNode(ctx, c.Host, c.Content, c.Pods, interval)

	return every(ctx, r, func() time.Duration { return interval }, func(bool) error {
		stats := node.Sample(boottime.Now())
		c.History.AddNode(&stats)

		err := safe.WriterModify(ctx, r, resources.NewNodeStats(), func(n *resources.NodeStats) error {
			*n.TypedSpec() = stats

			return nil
		})
		if err != nil {
			return fmt.Errorf("failed to publish the facts of the node: %w", err)
		}

		return nil
	})
}
