// SPDX-License-Identifier: MPL-2.0

package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestExplainRows_ShowWhyNoCeilingIsDesired(t *testing.T) {
	rows := new(app).explainRows(&client.Explanation{Targets: []client.TargetExplanation{
		{ID: "undecided"},
		{ID: "released", Desired: &resources.DesiredCeilingSpec{Reason: "every rule was quiet for ceiling.releaseAfter"}},
	}})

	if assert.Len(t, rows, 2) {
		assert.Equal(t, []string{"released", "ceiling", "none", "", "", "", "every rule was quiet for ceiling.releaseAfter"}, rows[1].Cells)
	}
}
