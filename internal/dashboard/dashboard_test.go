// SPDX-License-Identifier: MPL-2.0

package dashboard_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/dashboard"
)

type panel struct {
	ID          int
	Title, Type string
	GridPos     struct{ X, Y, W, H int }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct{ Expr string }
}

// TestJSON_HasRowsAndUnits: each panel stands below a row, overlaps no other and has a unit; each query selects a cluster.
func TestJSON_HasRowsAndUnits(t *testing.T) {
	var document struct {
		Panels      []panel
		Annotations struct{ List []struct{ Name, Expr string } }
		Templating  struct {
			List []struct{ Name, Query, AllValue string }
		}
	}

	require.NoError(t, json.Unmarshal(dashboard.JSON, &document))
	require.NotEmpty(t, document.Panels)
	assert.Equal(t, "row", document.Panels[0].Type)

	cells, ids := map[[2]int]string{}, map[int]bool{}

	for _, p := range document.Panels {
		t.Run(p.Title, func(t *testing.T) {
			assert.False(t, ids[p.ID], "two panels have the id %d", p.ID)
			ids[p.ID] = true

			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					assert.Less(t, x, 24)
					assert.Empty(t, cells[[2]int{x, y}], "overlaps")
					cells[[2]int{x, y}] = p.Title
				}
			}

			if p.Type == "row" {
				return
			}

			// Grafana has no unit of cores: a suffix is one. "short" writes 1500 as 1.5 K.
			assert.Contains(t, []string{"none", "s", "Bps", "bytes", "percentunit", "suffix: cores", "suffix: s/s"}, p.FieldConfig.Defaults.Unit)

			for _, target := range p.Targets {
				assert.Contains(t, target.Expr, `{cluster=~"$cluster", job=~"$job", instance=~"$instance"`)
			}
		})
	}

	for _, annotation := range document.Annotations.List {
		assert.Contains(t, annotation.Expr, `{cluster=~"$cluster", job=~"$job", instance=~"$instance"`, annotation.Name)
	}

	var variables []string

	for _, variable := range document.Templating.List {
		variables = append(variables, variable.Name)

		// A cluster without the label matches, too.
		if variable.Query != "prometheus" {
			assert.Equal(t, ".*", variable.AllValue, variable.Name)
		}
	}

	assert.Equal(t, []string{"datasource", "cluster", "job", "instance"}, variables)
}
