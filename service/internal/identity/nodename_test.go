// SPDX-License-Identifier: MPL-2.0

//go:build linux

package identity

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource/protobuf"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/test/machined"
)

func hostnameStatus(hostname, domain string) *network.HostnameStatus {
	status := network.NewHostnameStatus(network.NamespaceName, network.HostnameID)
	status.TypedSpec().Hostname, status.TypedSpec().Domainname = hostname, domain

	return status
}

// TestDecode_WithoutTheGoType decodes a message as a binary without machinery's package gets it.
func TestDecode_WithoutTheGoType(t *testing.T) {
	encoded, err := protobuf.FromResource(hostnameStatus("talos-1", "example.org"))
	require.NoError(t, err)

	decoded, err := decode(encoded)
	require.NoError(t, err)
	assert.Equal(t, status{Hostname: "talos-1", Domainname: "example.org"}, decoded)

	assert.Equal(t, network.HostnameStatusType, statusType)
	assert.Equal(t, network.NamespaceName, statusNamespace)
	assert.Equal(t, network.HostnameID, statusID)
}

func TestNodeName_Is(t *testing.T) {
	named := &NodeName{}
	named.reported.Store(&status{Hostname: "talos-1", Domainname: "example.org"})

	own, err := os.Hostname()
	require.NoError(t, err)

	for _, test := range []struct {
		title string
		name  *NodeName
		node  string
		want  bool
	}{
		{"hostname", named, "talos-1", true},
		{"hostname in another case", named, "TALOS-1", true},
		{"FQDN", named, "talos-1.example.org", true},
		{"another domain", named, "talos-1.example.com", false},
		{"another hostname", named, "talos-10", false},
		{"the process' hostname after machined's report", named, own, false},
		{"empty", named, "", false},
		{"before machined's report", &NodeName{}, own, true},
		{"nil", nil, own, true},
		{"trailing dot without a domain", &NodeName{}, own + ".", false},
	} {
		t.Run(test.title, func(t *testing.T) { assert.Equal(t, test.want, test.name.Is(test.node)) })
	}
}

// TestNodeName_FollowsMachined starts without machined, changes the name, and restarts machined.
func TestNodeName_FollowsMachined(t *testing.T) {
	m, err := machined.New(t.Context(), filepath.Join(t.TempDir(), "machine.sock"), &network.HostnameStatus{})
	require.NoError(t, err)

	m.Services = machined.ThisProcess

	own, err := os.Hostname()
	require.NoError(t, err)

	name := &NodeName{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)

	go func() { done <- name.Run(ctx, m.Socket, 20*time.Millisecond, zap.NewNop()) }()

	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})

	becomes := func(want string) {
		require.Eventually(t, func() bool { return name.String() == want }, time.Minute, 5*time.Millisecond)
	}

	assert.Equal(t, own, name.String(), "machined is absent")

	require.NoError(t, m.Start())

	reported := hostnameStatus("talos-1", "")
	require.NoError(t, m.State.Create(t.Context(), reported))
	becomes("talos-1")

	reported.TypedSpec().Hostname = "talos-2"
	require.NoError(t, m.State.Update(t.Context(), reported))
	becomes("talos-2")

	require.NoError(t, m.State.Destroy(t.Context(), reported.Metadata()))
	m.Stop()
	require.NoError(t, m.State.Create(t.Context(), hostnameStatus("talos-3", "")))
	assert.Equal(t, "talos-2", name.String(), "the last name stays")

	require.NoError(t, m.Start())
	t.Cleanup(m.Stop)
	becomes("talos-3")
}
