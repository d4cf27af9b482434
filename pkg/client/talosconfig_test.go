// SPDX-License-Identifier: MPL-2.0

package client_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// talosconfig returns a valid one with these endpoints.
func talosconfig(t testing.TB, endpoints ...string) string {
	t.Helper()

	authority, err := pki.New()
	require.NoError(t, err)

	pair, err := authority.Client("anna", time.Hour, role.Admin)
	require.NoError(t, err)

	context := pki.Context(pair, "10.0.0.1", authority)
	context.Endpoints = endpoints

	text, err := yaml.Marshal(&config.Config{Context: "a", Contexts: map[string]*config.Context{"a": context}})
	require.NoError(t, err)

	return string(text)
}

func TestOpen_RefusesInvalidTalosconfigs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "talosconfig")
	valid := talosconfig(t, "10.0.0.1")

	for name, test := range map[string]struct{ text, want string }{
		"null context":       {"context: a\ncontexts: {a: null}", "one of its contexts is null"},
		"other null context": {valid + "\n    b:\n", "one of its contexts is null"},
		"no contexts":        {"context: a", `"a"`},
		"empty":              {"", "failed to read the talosconfig"},
		"list":               {"[]", "failed to read the talosconfig"},
		"no certificate":     {"context: a\ncontexts: {a: {endpoints: [x]}}", "no client certificate"},
		"bad base64":         {"context: a\ncontexts: {a: {endpoints: [x], crt: '*', key: '*'}}", "failed to read the certificate of the talosconfig"},
		"bad PEM":            {"context: a\ncontexts: {a: {endpoints: [x], crt: aGk=, key: aGk=}}", "failed to read the certificate of the talosconfig"},
		"Omni":               {"context: a\ncontexts: {a: {auth: {siderov1: {identity: x}}}}", "SideroV1"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(path, []byte(test.text), 0o600))

			_, err := client.Open(client.Options{Talosconfig: path})
			assert.ErrorContains(t, err, test.want)
		})
	}
}

// FuzzTalosconfig: people write and merge talosconfigs by hand.
func FuzzTalosconfig(f *testing.F) {
	for _, seed := range []string{
		talosconfig(f, "10.0.0.1", "https://10.0.0.2:50000/", "[fd00::1]:6443", "node.example.org", "fd00::1", "[fd00::1]"), talosconfig(f, ""),
		"context: a\ncontexts: {a: null}", "context: a\ncontexts: {a: {target: x, endpoints: [null, '://', 'https://[', '%zz']}}",
		"context: a\ncontexts: {a: {endpoints: [x], ca: aGk=, crt: aGk=, key: aGk=}}", "contexts: {a: &a {auth: {basic: null, siderov1: null}}, b: *a}", "",
	} {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), "https://[::1")
	}

	path := filepath.Join(f.TempDir(), "talosconfig")

	f.Fuzz(func(t *testing.T, text []byte, endpoint string) {
		require.NoError(t, os.WriteFile(path, text, 0o600))

		options := client.Options{Talosconfig: path}
		if endpoint != "" {
			options.Endpoints = []string{endpoint}
		}

		fleet, err := client.Open(options)
		if err != nil {
			assert.Nil(t, fleet)
			assert.NotEmpty(t, err.Error())

			return
		}

		assert.NotEmpty(t, fleet.Nodes())
		assert.NotEmpty(t, fleet.Certificate().Certificate)
		assert.NoError(t, fleet.Close())
	})
}

// TestReadTalosconfig_CreatesNone: Talos' own function would create an empty file, and the error would be about a context.
func TestReadTalosconfig_CreatesNone(t *testing.T) {
	home := t.TempDir()
	t.Setenv("TALOS_HOME", home)
	t.Setenv("TALOSCONFIG", filepath.Join(home, "environment"))

	for path, want := range map[string]string{
		filepath.Join(home, "given"): "no talosconfig at " + filepath.Join(home, "given"),
		"":                           "no talosconfig at " + filepath.Join(home, "environment") + ", " + filepath.Join(home, "config"),
	} {
		_, err := client.ReadTalosconfig(path)
		require.ErrorIs(t, err, client.ErrNoTalosconfig)
		require.ErrorContains(t, err, want)
	}

	entries, err := os.ReadDir(home)
	require.NoError(t, err)
	assert.Empty(t, entries)
}
