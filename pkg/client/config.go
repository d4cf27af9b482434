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

// maxSettings is several times as many values as a document with the most rules has.
const maxSettings = 4096

// Config reads the configuration in force. More than 4096 values are an error.
func (n *Node) Config(ctx context.Context) (*Config, error) {
	active, err := safe.StateGetByID[*resources.GuardConfig](ctx, n.Resources, resources.GuardConfigID)
	if err != nil {
		return nil, fmt.Errorf("failed to read the configuration in force: %w", err)
	}

	if settings := len(active.TypedSpec().Settings); settings > maxSettings {
		return nil, fmt.Errorf("the guard sends %d values of its configuration: must be at most %d", settings, maxSettings)
	}

	return &Config{GuardConfigSpec: *active.TypedSpec()}, nil
}
