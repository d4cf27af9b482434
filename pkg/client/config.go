// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"fmt"

	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Config is the configuration in force on a node.
type Config struct {
	resources.GuardConfigSpec `yaml:",inline"`
}

// MarshalJSON implements json.Marshaler.
func (c Config) MarshalJSON() ([]byte, error) { return marshal(c) }

// Config reads the configuration in force.
func (n *Node) Config(ctx context.Context) (*Config, error) {
	active, err := safe.StateGetByID[*resources.GuardConfig](ctx, n.Resources, resources.GuardConfigID)
	if err != nil {
		return nil, fmt.Errorf("failed to read the configuration in force: %w", err)
	}

	return &Config{GuardConfigSpec: *active.TypedSpec()}, nil
}
