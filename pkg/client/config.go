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

// mostSettings is several times as many values as a document with the most rules has.
const mostSettings = 4096

// Config reads the configuration in force.
func (n *Node) Config(ctx context.Context) (*Config, error) {
	active, err := safe.StateGetByID[*resources.GuardConfig](ctx, n.Resources, resources.GuardConfigID)
	if err != nil {
		return nil, fmt.Errorf("failed to read the configuration in force: %w", err)
	}

	if settings := len(active.TypedSpec().Settings); settings > mostSettings {
		return nil, fmt.Errorf("the guard sends %d values of its configuration: must be at most %d", settings, mostSettings)
	}

	return &Config{GuardConfigSpec: *active.TypedSpec()}, nil
}
