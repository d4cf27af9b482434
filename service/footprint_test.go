// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fileKiB is what is resident of files, the program among them.
func fileKiB(t *testing.T) int {
	t.Helper()

	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)

	match := regexp.MustCompile(`(?m)^RssFile:\s+(\d+) kB`).FindSubmatch(status)
	require.NotNil(t, match)

	kib, err := strconv.Atoi(string(match[1]))
	require.NoError(t, err)

	return kib
}

func TestTheProgramIsGivenBackAndStillRuns(t *testing.T) {
	before := fileKiB(t)

	require.NoError(t, trim())

	after := fileKiB(t)
	t.Logf("%d KiB of files before, %d after", before, after)
	assert.Less(t, after, before)

	// It is all there when it is wanted.
	require.NoError(t, trim())
	assert.Regexp(t, "^a+$", "aaa")
}

func TestAnEndBeforeTheStartIsOverIsNoError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, trimOnceStarted(ctx))
}
