// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"archive/zip"
	"encoding/base64"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cosi-project/runtime/pkg/safe"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// TestSupport_HasNoSecrets: an archive of everything, with secrets planted where a careless guard could show them.
func TestSupport_HasNoSecrets(t *testing.T) {
	c := newCluster(t)
	path := filepath.Join(t.TempDir(), "support.zip")

	config, err := clientconfig.Open(c.talosconfig)
	require.NoError(t, err)

	encoded := config.Contexts["prod"].Key
	pem, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(t, err)

	require.NoError(t, safe.StateModify(t.Context(), c.guards[0].State, resources.NewGuardStatus(resources.GuardStatusID), func(r *resources.GuardStatus) error {
		r.TypedSpec().Message = "key: " + encoded + " and " + string(pem) + " and https://anna:hunter2@registry and password: hunter3, token=hunter4 Authorization: Bearer hunter5"

		return nil
	}))

	c.addresses["talos-prod-3"] = "127.0.0.1:1"

	got := c.run("support", "-O", path)
	assert.Equal(t, exitUnavailable, got.code)
	assert.Contains(t, got.stderr, "has the data of 2 of 3 nodes")

	archive, err := zip.OpenReader(path)
	require.NoError(t, err)

	defer archive.Close()

	all := map[string]string{}

	for _, file := range archive.File {
		r, err := file.Open()
		require.NoError(t, err)

		text, err := io.ReadAll(r)
		require.NoError(t, err)

		all[file.Name] = string(text)

		for _, secret := range []string{encoded, string(pem), strings.Split(string(pem), "\n")[1], "hunter", "PRIVATE KEY"} {
			assert.NotContains(t, string(text), secret, file.Name)
		}
	}

	for _, name := range []string{
		"contents.txt", "talos-prod-1/status.json", "talos-prod-1/explain.json", "talos-prod-1/doctor.json", "talos-prod-1/history.json",
		"talos-prod-2/events.json", "talos-prod-1/version.json", "talos-prod-1/resources/GuardConfigs.spegelguard.dev.yaml",
		"talos-prod-1/resources/TargetStats.spegelguard.dev.yaml", "talos-prod-1/resources/NodeStats.spegelguard.dev.yaml", "talos-prod-3/node.error.txt",
	} {
		assert.NotEmpty(t, all[name], name)
	}

	assert.Contains(t, all["talos-prod-1/resources/GuardConfigs.spegelguard.dev.yaml"], "SpegelHighCPU")
	assert.Contains(t, all["talos-prod-2/events.json"], "50001 100000")

	// Nothing is overwritten.
	assert.Equal(t, 1, c.run("support", "-O", path).code)
}
