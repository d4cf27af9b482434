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

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// fileKiB returns the resident memory that is backed by files, such as the binary.
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

func TestTrim_ReleasesPagesOfTheBinary(t *testing.T) {
	document, err := config.Marshal(config.Default())
	require.NoError(t, err)

	before := fileKiB(t)

	require.NoError(t, trim())

	after := fileKiB(t)
	t.Logf("%d KiB of files before, %d after", before, after)
	assert.Less(t, after, before)

	// The pages are loaded again when they are used, as they were.
	require.NoError(t, trim())

	again, err := config.Marshal(config.Default())
	require.NoError(t, err)
	assert.Equal(t, string(document), string(again))
}

func TestTrimOnceStarted_EndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, trimOnceStarted(ctx))
}
