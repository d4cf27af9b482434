// SPDX-License-Identifier: MPL-2.0

package config_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/series"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// TestSignals_AreComplete: every signal of the table has what its users derive from the row and its unit.
func TestSignals_AreComplete(t *testing.T) {
	var metrics []string

	for _, s := range series.All() {
		metrics = append(metrics, s.Name)
	}

	for _, signal := range policy.Signals() {
		t.Run(string(signal), func(t *testing.T) {
			unit := signal.Unit()

			assert.Contains(t, policy.Units(), unit)
			assert.Positive(t, unit.Noise(), "noise for publishing")
			assert.NotEmpty(t, signal.About(), "documentation")
			assert.Contains(t, metrics, series.RuleValue(unit))
			assert.Contains(t, metrics, series.RuleThreshold(unit))
			assert.NotEqual(t, "true", signal.Format(1), "format")
			assert.NotContains(t, (&resources.TargetStatsSpec{}).Signal(signal).Reason, "unknown", "reading")

			_, err := config.Parse([]byte("rules: [{name: A, signal: " + string(signal) + ", threshold: '~'}]"))

			var wrong config.Errors

			require.True(t, errors.As(err, &wrong))

			at := slices.IndexFunc(wrong, func(e config.FieldError) bool { return e.Field == "rules[0].threshold" })
			require.GreaterOrEqual(t, at, 0)
			assert.True(t, strings.Contains(wrong[at].Allowed, ".."), "bounds of the threshold: %s", wrong[at].Allowed)
		})
	}
}
