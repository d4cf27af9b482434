// SPDX-License-Identifier: MPL-2.0

package config_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

func TestFind_ReadsMachineConfigurations(t *testing.T) {
	file, err := os.ReadFile("../../extension/patches/observe.yaml")
	require.NoError(t, err)

	found, err := config.Find(append([]byte("machine: {type: worker}\n---\n"), file...))
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, "apiVersion: v1alpha1\nkind: SpegelGuardConfig\nmode: observe\n", string(found[0].Document))
	assert.Equal(t, 10, found[0].Offset, "the line before the first of the document")

	for _, plain := range []string{"", "mode: observe", "kind: SpegelGuardConfig\nmode: kill", "- 1"} {
		found, err = config.Find([]byte(plain))
		require.NoError(t, err)
		assert.Equal(t, []config.Embedded{{Document: []byte(plain)}}, found)
	}

	_, err = config.Find([]byte("apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: a\n"))
	require.ErrorIs(t, err, config.ErrNoDocument)

	_, err = config.Find([]byte("a: ["))
	require.ErrorContains(t, err, "line 1")
}
