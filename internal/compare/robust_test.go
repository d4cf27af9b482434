// SPDX-License-Identifier: MPL-2.0

package compare

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// naive are the definitions, word by word.
func naive(values []float64) (median, mad float64) {
	middle := func(v []float64) float64 {
		v = slices.Sorted(slices.Values(v))

		switch n := len(v); {
		case n == 0:
			return 0
		case n%2 == 1:
			return v[n/2]
		default:
			return (v[n/2-1] + v[n/2]) / 2
		}
	}

	median = middle(values)

	var distances []float64

	for _, v := range values {
		distances = append(distances, math.Abs(v-median))
	}

	return median, middle(distances)
}

func TestRanked_MedianAndDeviation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few different values: ties are what goes wrong.
		values := rapid.SliceOfN(rapid.Map(rapid.IntRange(-8, 8), func(i int) float64 { return float64(i) / 2 }), 0, 12).Draw(t, "values")
		ordered := rank(values)

		median, mad := naive(values)
		require.InDelta(t, median, ordered.median(-1), 1e-12)
		require.InDelta(t, mad, ordered.deviation(median, -1), 1e-12)

		for i := range ordered {
			median, mad := naive(slices.Delete(slices.Clone(ordered), i, i+1))
			require.InDelta(t, median, ordered.median(i), 1e-12)
			require.InDelta(t, mad, ordered.deviation(median, i), 1e-12)
		}
	})
}

// TestCompare_IgnoresTheOrderOfNodes, nor do figures that are not known.
func TestCompare_IgnoresTheOrderOfNodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Float64Range(0, 5), rapid.Just(math.NaN()), rapid.Just(math.Inf(1)))

		nodes := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) Node {
			figures := map[Metric]float64{}

			for _, metric := range rapid.SliceOfDistinct(rapid.SampledFrom(Metrics()), rapid.ID).Draw(t, "metrics") {
				figures[metric] = value.Draw(t, "value") * material[metric] * 10
			}

			return Node{Name: rapid.StringMatching("[a-z]{3}").Draw(t, "name"), Figures: figures}
		}), 0, 9, func(n Node) string { return n.Name }).Draw(t, "nodes")

		byName := func(report Report) map[string]Assessment {
			found := map[string]Assessment{}
			for _, n := range report.Nodes {
				found[n.Name] = n
			}

			return found
		}

		before := byName(Compare(nodes, Limits{}))
		slices.Reverse(nodes)
		require.Equal(t, before, byName(Compare(nodes, Limits{})))
	})
}
