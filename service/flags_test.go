// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"flag"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

func TestParseFlags_HasDefaults(t *testing.T) {
	f, err := parseFlags([]string{"-state=/x/state.json", "config", "validate", "a"}, nil)
	require.NoError(t, err)
	assert.Equal(t, config.Path, f.config)
	assert.Equal(t, "/x/overrides.json", f.overrides())
	assert.Equal(t, "config validate a", f.command)
}

func TestParseFlags_PrintsHelp(t *testing.T) {
	var help strings.Builder

	_, err := parseFlags([]string{"-h"}, &help)
	require.ErrorIs(t, err, flag.ErrHelp)
	assert.Contains(t, help.String(), "usage: spegel-guard [flags]")
	assert.Contains(t, help.String(), "-machined")
}

// TestParseFlags_ReportsMistakesInOneLine: Talos shows the end of what a failed service has printed, which must not be the list of flags.
func TestParseFlags_ReportsMistakesInOneLine(t *testing.T) {
	var help strings.Builder

	_, err := parseFlags([]string{"-no-such-flag"}, &help)
	require.EqualError(t, err, "flag provided but not defined: -no-such-flag (spegel-guard -h lists the flags)")
	assert.Empty(t, help.String())
}
