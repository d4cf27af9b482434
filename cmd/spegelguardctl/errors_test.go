// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/test/pki"
)

// TestGolden_ConnectionErrors prints what a command says for each cause that keeps it from a node.
func TestGolden_ConnectionErrors(t *testing.T) {
	c := newCluster(t)
	nodes := []string{"talos-prod-1", "talos-prod-2", "talos-prod-3"}

	other, err := pki.New()
	require.NoError(t, err)

	expired, err := c.pki.Client("anna", -10*time.Minute, role.Admin)
	require.NoError(t, err)

	foreign, err := other.Client("anna", time.Hour, role.Admin)
	require.NoError(t, err)

	own, err := c.pki.Client("anna", time.Hour, role.Admin)
	require.NoError(t, err)

	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)

	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })

	for name, address := range map[string]string{
		"closed-1": "127.0.0.1:1", "closed-2": "127.0.0.1:1", "alias": c.addresses["talos-prod-1"], "silent": silent.Addr().String(),
		"web": web.Listener.Addr().String(),
	} {
		c.addresses[name] = address
	}

	saved := func(pair *pki.Pair, authority *pki.PKI, nodes ...string) string {
		context := pki.Context(pair, "", authority)
		context.Nodes, context.Endpoints = nodes, nil

		path := filepath.Join(t.TempDir(), "talosconfig")
		config := clientconfig.Config{Context: "prod", Contexts: map[string]*clientconfig.Context{"prod": context}}
		require.NoError(t, config.Save(path))

		return path
	}

	var text strings.Builder

	for _, test := range []struct {
		name string
		args []string
		code int
	}{
		{"no talosconfig", []string{"--talosconfig", "/nowhere/talosconfig", "status"}, 1},
		{"no nodes", []string{"--talosconfig", saved(own, c.pki), "status"}, 1},
		{"the client certificate has expired", []string{"--talosconfig", saved(expired, c.pki, nodes...), "status"}, 3},
		{"the same, one node", []string{"--talosconfig", saved(expired, c.pki, nodes...), "-n", nodes[0], "version"}, 3},
		{"the client certificate is of another CA", []string{"--talosconfig", saved(foreign, c.pki, nodes...), "status"}, 3},
		{"the node's certificate is of another CA", []string{"--talosconfig", saved(own, other, nodes...), "status"}, 3},
		{"the node's certificate is for another name", []string{"-n", "alias", "status"}, 3},
		{"nothing listens", []string{"-n", "closed-1", "status"}, 3},
		{"nothing listens on two nodes, and one does not answer", []string{"-n", "closed-1,closed-2,silent", "--timeout", "10s", "events"}, 3},
		{"the name is unknown", []string{"-n", "nowhere.invalid", "status"}, 3},
		{"the port is Talos' own", []string{"-n", nodes[0] + ":50000", "status"}, 1},
		{"the endpoint has Talos' port", []string{"-e", nodes[0] + ":50000", "-n", nodes[1], "status"}, 1},
		{"the server is no guard", []string{"-n", "web", "status"}, 3},
		{"the endpoint does not forward", []string{"-e", nodes[0], "-n", nodes[1], "status"}, 3},
		{"the endpoint forwards, and does not know the name", []string{"-e", nodes[1], "-n", "nowhere.invalid", "status"}, 3},
		{"the endpoint forwards, and nothing listens on the node", []string{"-e", nodes[1], "-n", "127.254.0.1", "status"}, 3},
		{"the endpoint does not know the name", []string{"-e", nodes[0], "-n", "nowhere.invalid", "status"}, 3},
		{"nothing listens at the endpoint", []string{"-e", "closed-1", "-n", nodes[0] + "," + nodes[1], "status"}, 3},
		{"the role is too low", []string{"--talosconfig", c.config(t, nodes, role.Reader), "-n", nodes[0] + "," + nodes[1], "release"}, 1},
	} {
		got := c.run(test.args...)
		assert.Equal(t, test.code, got.code, "%s: %s", test.name, got.stderr)

		fmt.Fprintf(&text, "# %s\n%s\n", test.name, scrubbed(got.stderr))
	}

	host, err := os.Hostname()
	require.NoError(t, err)

	compareGolden(t, "connection-errors", strings.ReplaceAll(text.String(), "node "+host+";", "node <HOST>;"))
}
