// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/top"
)

// firstWords returns the first word of each line.
func firstWords(text string) []string {
	var words []string

	for line := range strings.Lines(text) {
		words = append(words, strings.Fields(line)[0])
	}

	return words
}

func TestTopOnce_SortsByEveryColumn(t *testing.T) {
	c := newCluster(t)

	var names []string
	for name := range c.addresses {
		names = append(names, name)
	}

	slices.Sort(names)

	for _, column := range top.Columns() {
		t.Run(string(column), func(t *testing.T) {
			got := c.run("top", "--once", "--sort-by", string(column))
			nodes := firstWords(got.stdout)

			assert.Equal(t, exitThrottled, got.code, "as status")
			assert.Empty(t, got.stderr)
			assert.Equal(t, "NODE", nodes[0])
			assert.ElementsMatch(t, names, nodes[1:])

			switch column {
			case top.ColumnNode:
				assert.Equal(t, names, nodes[1:])
			case "pressure": // is the same everywhere
			default:
				assert.Equal(t, "talos-prod-2", nodes[1], "the culprit has the most of everything")
			}
		})
	}
}

func TestTopOnce_PrintsNoHeaders(t *testing.T) {
	c := newCluster(t)

	got := c.run("top", "--once", "--no-headers", "-n", "talos-prod-2,talos-prod-1")
	assert.Equal(t, []string{"talos-prod-2", "talos-prod-1"}, firstWords(got.stdout))
}

// TestTopOnce_ExitsAsStatus: a script can rely on the same exit codes.
func TestTopOnce_ExitsAsStatus(t *testing.T) {
	c := newCluster(t)
	c.addresses["talos-prod-3"] = "127.0.0.1:1"

	for _, nodes := range []string{"talos-prod-1", "talos-prod-2", "talos-prod-3", "all"} {
		t.Run(nodes, func(t *testing.T) {
			got, status := c.run("top", "--once", "-n", nodes), c.run("status", "-n", nodes)
			assert.Equal(t, status.code, got.code)
			assert.Equal(t, status.stderr, got.stderr)
			assert.NotContains(t, got.stdout, "talos-prod-3")
		})
	}
}
