// SPDX-License-Identifier: MPL-2.0

package client_test

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// TestMarshalJSON_HasAnyFloat: the value of one node must not end the output of all.
func TestMarshalJSON_HasAnyFloat(t *testing.T) {
	for value, want := range map[float64]string{1.5: "1.5", math.NaN(): "null", math.Inf(1): "null", math.Inf(-1): "null"} {
		t.Run(fmt.Sprint(value), func(t *testing.T) {
			stats := resources.TargetStatsSpec{CPU: resources.Measured(value)}
			rules := []client.Rule{{RuleStatusSpec: resources.RuleStatusSpec{Value: value}}}

			for _, response := range []any{
				client.Status{Targets: []client.TargetStatus{{TargetStatsSpec: stats}}},
				client.Explanation{Targets: []client.TargetExplanation{{Rules: rules}}},
			} {
				text, err := json.Marshal(response)
				require.NoError(t, err, "%T", response)
				assert.Contains(t, string(text), `"value":`+want, "%T", response)
			}
		})
	}
}
