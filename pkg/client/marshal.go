// SPDX-License-Identifier: MPL-2.0

package client

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"go.yaml.in/yaml/v4"
)

// marshal encodes a value as JSON with the names, the order and the forms of its YAML, which are those of the
// resources in talosctl get -o yaml. Times are in UTC, and NaN and infinite floats are null.
func marshal(value any) ([]byte, error) {
	var node yaml.Node

	if err := node.Encode(value); err != nil {
		return nil, fmt.Errorf("failed to encode %T: %w", value, err)
	}

	return appendJSON(nil, &node)
}

func appendJSON(text []byte, node *yaml.Node) (_ []byte, err error) {
	switch node.Kind {
	case yaml.MappingNode:
		text = append(text, '{')

		for i, child := range node.Content {
			if i > 0 {
				text = append(text, ",:"[i%2])
			}

			if text, err = appendJSON(text, child); err != nil {
				return nil, err
			}
		}

		return append(text, '}'), nil
	case yaml.SequenceNode:
		text = append(text, '[')

		for i, child := range node.Content {
			if i > 0 {
				text = append(text, ',')
			}

			if text, err = appendJSON(text, child); err != nil {
				return nil, err
			}
		}

		return append(text, ']'), nil
	default:
		var scalar any

		if err := node.Decode(&scalar); err != nil {
			return nil, fmt.Errorf("failed to decode %q: %w", node.Value, err)
		}

		if at, ok := scalar.(time.Time); ok {
			scalar = at.UTC()
		}

		// A node decides what it sends, and JSON has no form for these floats.
		if value, ok := scalar.(float64); ok && (math.IsNaN(value) || math.IsInf(value, 0)) {
			scalar = nil
		}

		encoded, err := json.Marshal(scalar)

		return append(text, encoded...), err
	}
}
