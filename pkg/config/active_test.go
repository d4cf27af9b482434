// SPDX-License-Identifier: MPL-2.0

package config_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

func TestActive_ParsesEachDocumentOnce(t *testing.T) {
	var active config.Active

	// The labels of one parsed document are one map.
	labels := func() map[string]string {
		cfg, err := active.Parse("target: {podLabels: {app: a}}")
		require.NoError(t, err)

		return cfg.Target.PodLabels
	}

	first := labels()
	first["shared"] = "yes"

	assert.Equal(t, first, labels())

	other, err := active.Parse("mode: observe")
	require.NoError(t, err)
	assert.Equal(t, config.ModeObserve, other.Mode)
	assert.NotContains(t, labels(), "shared", "another document was in force in between")
}

func TestActive_SetNeedsNoParsing(t *testing.T) {
	var active config.Active

	cfg := config.Default()
	cfg.Mode = config.ModeObserve
	active.Set("not a document", cfg)

	got, err := active.Parse("not a document")
	require.NoError(t, err)
	assert.Equal(t, cfg, got)
}

func TestActive_KeepsNothingOfBadDocument(t *testing.T) {
	var active config.Active

	for range 2 {
		_, err := active.Parse("mode: kill")
		require.ErrorContains(t, err, `line 1: invalid mode "kill": must be observe or enforce`)
	}
}

func TestActive_NilParsesEachTime(t *testing.T) {
	cfg, err := (*config.Active)(nil).Parse("mode: observe")
	require.NoError(t, err)
	assert.Equal(t, config.ModeObserve, cfg.Mode)
}
