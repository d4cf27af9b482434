// SPDX-License-Identifier: MPL-2.0

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseReactions(t *testing.T) {
	found, err := parseReactions("goos: linux\n" +
		"BenchmarkReaction/without_evidence-2 \t     500\t   9035210 ns/op\t       420.0 p50-us\t      2150 p99-us\n" +
		"BenchmarkReaction/with_evidence-2 \t     500\t  19035210 ns/op\t       612.5 p50-us\t      4980 p99-us\nPASS\n")
	require.NoError(t, err)
	assert.Equal(t, []reaction{
		{"without evidence", 420 * time.Microsecond, 2150 * time.Microsecond},
		{"with evidence", 612500 * time.Nanosecond, 4980 * time.Microsecond},
	}, found)

	goals := findings{Reaction: found}.reactionGoals()
	require.Len(t, goals, 2)
	assert.Equal(t, goal{"reaction p99, default configuration with evidence", "at most 5 ms", "4.98 ms", true}, goals[1])

	_, err = parseReactions("PASS\n")
	require.ErrorContains(t, err, "no result")
}
