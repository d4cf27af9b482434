// SPDX-License-Identifier: MPL-2.0

//go:build linux

package client_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/fleettest"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// patient adds that an attempt to connect and a request may last a minute.
func patient(options client.Options) client.Options {
	options.Timeout = time.Minute
	options.DialOptions = append(options.DialOptions, fleettest.Patience())

	return options
}

// openAll opens the nodes that serve returned.
func openAll(t *testing.T, context *clientconfig.Context, hosts []string, port string) *client.Fleet {
	t.Helper()

	context.Nodes = nil
	for _, host := range hosts {
		context.Nodes = append(context.Nodes, net.JoinHostPort(host, port))
	}

	fleet, err := client.OpenContext(context, patient(client.Options{}))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, fleet.Close()) })

	return fleet
}

// serve serves the incident's three nodes, of which the first forwards, until the test ends.
func serve(t *testing.T) (*clientconfig.Context, []string, string, []*fleettest.Guard) {
	t.Helper()

	authority, err := pki.New()
	require.NoError(t, err)

	port, err := fleettest.FreePort()
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	hosts := fleettest.Addresses(3)

	var guards []*fleettest.Guard

	for i, figures := range fleettest.IncidentFigures() {
		guard, err := fleettest.NewWith(ctx, figures, hosts[i], port)
		require.NoError(t, err)

		// The pod before it ended a moment ago.
		one := func(int) float64 { return 1 }
		guard.Past("spegel/spegel-ended/registry", 30, one, one, one)

		guard.Forward = i == 0
		guards = append(guards, guard)
	}

	wait, err := fleettest.Serve(ctx, authority, guards...)
	require.NoError(t, err)

	t.Cleanup(func() {
		cancel()
		assert.NoError(t, wait())
	})

	pair, err := authority.Client("anna", time.Hour, role.Admin)
	require.NoError(t, err)

	return pki.Context(pair, "10.0.0.1:50000", authority), hosts, strconv.Itoa(port), guards
}

func names(f *client.Fleet) []string {
	var all []string

	for _, node := range f.Nodes() {
		all = append(all, node.Name)
	}

	return all
}

func TestOpenContext_SelectsNodes(t *testing.T) {
	authority, err := pki.New()
	require.NoError(t, err)

	pair, err := authority.Client("anna", time.Hour, role.Reader)
	require.NoError(t, err)

	for name, test := range map[string]struct {
		nodes, endpoints, selected, want []string
	}{
		"default":  {[]string{"a", "b"}, nil, nil, []string{"a", "b"}},
		"all":      {[]string{"a", "b"}, nil, []string{"all"}, []string{"a", "b"}},
		"repeated": {[]string{"a", "b"}, nil, []string{"c", "all", "c", "a"}, []string{"c", "a", "b"}},
		// apid's port is not the guard's; any other port is kept.
		"endpoints": {nil, []string{"10.0.0.1", "10.0.0.2:50000", "10.0.0.3:6443", "[fd00::1]:50000"}, nil, []string{"10.0.0.1", "10.0.0.2", "10.0.0.3:6443", "fd00::1"}},
	} {
		t.Run(name, func(t *testing.T) {
			context := pki.Context(pair, "", authority)
			context.Nodes, context.Endpoints = test.nodes, test.endpoints

			f, err := client.OpenContext(context, client.Options{Nodes: test.selected})
			require.NoError(t, err)
			assert.Equal(t, test.want, names(f))
			require.NoError(t, f.Close())
		})
	}

	_, err = client.OpenContext(&clientconfig.Context{CA: "", Crt: pki.Context(pair, "", authority).Crt, Key: pki.Context(pair, "", authority).Key}, client.Options{})
	require.ErrorIs(t, err, client.ErrNoNodes)
}

func TestTLS_RefusesContexts(t *testing.T) {
	for _, test := range []struct {
		context clientconfig.Context
		want    string
	}{
		{clientconfig.Context{}, "no client certificate (crt and key)"},
		{clientconfig.Context{Auth: clientconfig.Auth{SideroV1: &clientconfig.SideroV1{Identity: "a"}}}, "SideroV1 (Omni)"},
		{clientconfig.Context{Crt: "!", Key: "!"}, "failed to read the certificate of the talosconfig"},
	} {
		t.Run(test.want, func(t *testing.T) {
			_, err := client.TLS(&test.context)
			require.ErrorContains(t, err, test.want)
		})
	}

	_, err := client.ReadContext(t.TempDir()+"/new", "prod")
	require.ErrorIs(t, err, client.ErrNoTalosconfig)
}

func TestAsk_ReadsAllNodes(t *testing.T) {
	context, hosts, port, _ := serve(t)
	f := openAll(t, context, hosts, port)
	states := map[string]string{}

	for result := range client.Ask(t.Context(), f, (*client.Node).Status) {
		require.NoError(t, result.Err)

		states[result.Node.Name] = result.Value.State
	}

	assert.Equal(t, map[string]string{
		context.Nodes[0]: "ok", context.Nodes[1]: "throttled", context.Nodes[2]: "ok",
	}, states)

	// A loop that ends early leaves nothing behind, and figures come in the fleet's order.
	for range client.Ask(t.Context(), f, (*client.Node).Status) {
		break
	}

	var nodes []compare.Node

	for _, result := range client.Gather(t.Context(), f, (*client.Node).Figures) {
		require.NoError(t, result.Err)

		nodes = append(nodes, result.Value)
	}

	report := compare.Compare(nodes, compare.Limits{})
	assert.Equal(t, compare.Culprit, report.Nodes[1].Role)
	assert.Equal(t, context.Nodes[1], report.Nodes[1].Name)
	assert.InDelta(t, 1.8, nodes[1].Figures[compare.CPU], 1e-6)
	assert.InDelta(t, 9.6e9/60, nodes[1].Figures[compare.Alloc], 1)
	assert.InDelta(t, 1053, nodes[1].Figures[compare.Blobs], 1e-6)
	assert.InDelta(t, 2.1e6, nodes[1].Figures[compare.NFS], 1e-6)
	assert.NotContains(t, nodes[1].Figures, compare.NFSRTT, "unavailable")
}

// TestOpen_UsesEndpoints: whichever endpoint answers forwards to the nodes.
func TestOpen_UsesEndpoints(t *testing.T) {
	context, hosts, port, guards := serve(t)

	// The rate of the last sample.
	_, err := safe.StateUpdateWithConflicts(t.Context(), guards[1].State, resources.NewNodeStats().Metadata(), func(stats *resources.NodeStats) error {
		stats.TypedSpec().TXBytesPerSecond = resources.Measured(9e6)

		return nil
	})
	require.NoError(t, err)

	f, err := client.OpenContext(context, patient(client.Options{
		Endpoints: []string{"127.0.0.1:1", net.JoinHostPort(hosts[0], port)}, Nodes: []string{hosts[0], hosts[1], "127.200.0.1"},
	}))
	require.NoError(t, err)

	defer f.Close()

	results := client.Gather(t.Context(), f, (*client.Node).Status)
	require.NoError(t, results[0].Err)
	assert.Equal(t, "ok", results[0].Value.State)
	require.NoError(t, results[1].Err)
	assert.Equal(t, "throttled", results[1].Value.State)
	require.Error(t, results[2].Err)
	assert.True(t, client.IsUnreachableError(results[2].Err), results[2].Err)

	// Resources and streams of a node come the same way.
	figures, err := f.Nodes()[1].Figures(t.Context())
	require.NoError(t, err)
	assert.InDelta(t, 1053, figures.Figures[compare.Blobs], 1e-6)

	assert.InDelta(t, 1.9e6, figures.Figures[compare.NodeTX], 1, "over a minute, as that of its targets")
}

// TestGather_LeavesOutStragglers: with a question that some nodes do not answer.
func TestGather_LeavesOutStragglers(t *testing.T) {
	talosconfig, hosts, _, _ := serve(t)
	talosconfig.Nodes = hosts
	talosconfig.Nodes = append(talosconfig.Nodes, "a", "b", "c", "d", "e", "f")

	f, err := client.OpenContext(talosconfig, client.Options{Timeout: time.Hour})
	require.NoError(t, err)

	defer f.Close()

	answers := make(chan struct{})
	question := func(n *client.Node, ctx context.Context) (string, error) {
		switch n.Name {
		case "e":
			select {
			case <-ctx.Done():
				return "", ctx.Err()
			case <-answers:
			}
		case "f":
			return "", status.Error(codes.PermissionDenied, "no")
		}

		return n.Name, nil
	}

	// Not for as long as a node may take that nobody waits for: that would be an hour.
	results := client.Gather(t.Context(), f, question)

	require.Len(t, results, 9)
	assert.Equal(t, "a", results[3].Value)
	require.ErrorIs(t, results[7].Err, client.ErrStraggler)
	assert.True(t, client.IsUnreachableError(results[7].Err))
	require.EqualError(t, results[8].Err, "f: PermissionDenied: no")
	assert.False(t, client.IsUnreachableError(results[8].Err))

	var node *client.NodeError

	require.True(t, errors.As(results[8].Err, &node))
	assert.Equal(t, "f", node.Node)

	// Ask waits for the last one, and yields the others before.
	var order []string

	for result := range client.Ask(t.Context(), f, question) {
		if order = append(order, result.Node.Name); len(order) == 8 {
			close(answers)
		}
	}

	assert.Equal(t, "e", order[8])
}
