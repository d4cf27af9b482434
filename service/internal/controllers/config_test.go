// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// TestTheLastGoodConfigurationStaysInForce goes from no document over a good one to a bad one and back.
func TestTheLastGoodConfigurationStaysInForce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	s := newSuite(t, newState(t), &ConfigController{Path: path, Served: config.Default()})

	waitFor := func(match func(resources.GuardConfigSpec) bool) resources.GuardConfigSpec {
		return await(s, resources.NewGuardConfig(resources.GuardConfigID), match)
	}

	spec := waitFor(func(s resources.GuardConfigSpec) bool { return s.Mode == "enforce" })
	assert.Equal(t, SourceDefaults, spec.Source)

	require.NoError(t, os.WriteFile(path, []byte("mode: observe"), 0o600))

	good := waitFor(func(s resources.GuardConfigSpec) bool { return s.Mode == "observe" })
	assert.Equal(t, path, good.Source)

	require.NoError(t, os.WriteFile(path, []byte("mode: perhaps"), 0o600))

	bad := waitFor(func(s resources.GuardConfigSpec) bool { return s.LastError != "" })
	assert.Contains(t, bad.LastError, `mode: "perhaps" is not allowed, allowed is observe or enforce`)
	assert.Equal(t, good.Document, bad.Document)

	condition := await(s, resources.NewCondition(resources.ConditionConfig), func(c resources.ConditionSpec) bool { return !c.OK })
	assert.Equal(t, resources.ReasonBadConfig, condition.Reason)

	require.NoError(t, os.Remove(path))
	waitFor(func(s resources.GuardConfigSpec) bool { return s.LastError == "" && s.Mode == "enforce" })
}
