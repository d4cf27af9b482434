// SPDX-License-Identifier: MPL-2.0

package resources_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// TestFix_ExistsForEachReason reads the reasons from the source, so that a new one is not missed.
func TestFix_ExistsForEachReason(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "condition.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)

	found := 0

	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}

		found++

		literal, ok := spec.Values[0].(*ast.BasicLit)
		require.True(t, ok)

		reason, err := strconv.Unquote(literal.Value)
		require.NoError(t, err)
		assert.Equal(t, reason != resources.ReasonOK, resources.Fix(reason) != "", reason)

		return true
	})

	assert.Greater(t, found, 10)
}

func TestConditionSpec_SetReportsChanges(t *testing.T) {
	var spec resources.ConditionSpec

	assert.True(t, spec.Set(resources.ReasonCRI, "refused", 1))
	assert.False(t, spec.OK)

	assert.False(t, spec.Set(resources.ReasonCRI, "refused", 2))
	assert.True(t, spec.Set(resources.ReasonCRI, "timed out", 3))
	assert.EqualValues(t, 1, spec.SinceClock, "the reason is the same")

	assert.True(t, spec.Set(resources.ReasonOK, "", 4))
	assert.True(t, spec.OK)
	assert.EqualValues(t, 4, spec.SinceClock)
}
