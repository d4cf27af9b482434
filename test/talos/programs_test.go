// SPDX-License-Identifier: MPL-2.0

package talos_test

import (
	"bytes"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/test/images"
	"github.com/spegel-guard/spegel-guard/test/talos"
)

// TestPrograms_HaveVersions: constants of this package name the versions that are built.
func TestPrograms_HaveVersions(t *testing.T) {
	module, err := os.ReadFile("programs/go.mod")
	require.NoError(t, err)

	for name, version := range map[string]string{"github.com/siderolabs/talos": talos.Version, "go.etcd.io/etcd/server/v3": images.EtcdVersion} {
		required := regexp.MustCompile(regexp.QuoteMeta(name) + ` (\S+)`).FindSubmatch(module)
		require.Len(t, required, 2, name)
		assert.Equal(t, version, string(required[1]), name)
	}

	install, err := os.ReadFile("../../docs/install.md")
	require.NoError(t, err)
	assert.True(t, bytes.Contains(install, []byte("etcd is "+images.EtcdVersion+",")), "docs/install.md has another version of etcd")
}
