// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"github.com/blang/semver/v4"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/siderolabs/talos/pkg/machinery/version"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// TestAPI_ServesTalosClient makes the calls of talosctl with the client library of talosctl.
func TestAPI_ServesTalosClient(t *testing.T) {
	l := newLoop(t, fast, nil)
	ctx := t.Context()
	c := l.guard.Client

	_, err := l.guard.WaitState(ctx, patience, resources.StateOK)
	require.NoError(t, err)

	// talosctl get spegel, get targetstats, get ceilingstatuses: alias to type, then list.
	kinds := map[string]*resource.Metadata{}

	for alias, id := range map[string]string{
		"spegel": resources.GuardStatusID, "targetstats": "spegel/spegel-x7k2p/registry", "ceilingstatuses": "",
	} {
		namespace := ""

		definition, err := c.ResolveResourceKind(ctx, &namespace, alias)
		require.NoError(t, err, alias)
		assert.Equal(t, resources.Namespace, namespace)
		assert.NotEmpty(t, definition.TypedSpec().PrintColumns)

		kind := resource.NewMetadata(namespace, definition.TypedSpec().Type, "", resource.VersionUndefined)
		kinds[alias] = &kind

		// Samples are decided on before they are published.
		require.EventuallyWithT(t, func(t *assert.CollectT) {
			list, err := c.COSI.List(ctx, kind)
			require.NoError(t, err)

			if id != "" {
				require.Len(t, list.Items, 1, alias)
				assert.Equal(t, id, list.Items[0].Metadata().ID())
			}
		}, patience, 100*time.Millisecond)
	}

	// talosctl get -w, started before the breach.
	watched := map[string]chan state.Event{}

	for alias, kind := range kinds {
		watched[alias] = make(chan state.Event, 1024)
		require.NoError(t, c.COSI.WatchKind(ctx, kind, watched[alias], state.WithBootstrapContents(true)))
	}

	l.runAway(t, l.spegel, l.peer)

	waitEvent(t, watched["targetstats"], func(r resource.Resource) bool {
		stats := r.(*resources.TargetStats).TypedSpec()

		return stats.CPU.Value > 0.25 && stats.TXBytesPerSecond.Value > 0 && stats.CPU.Provenance == resources.ProvenanceMeasured
	})
	waitEvent(t, watched["spegel"], func(r resource.Resource) bool {
		return r.(*resources.GuardStatus).TypedSpec().State == resources.StateThrottled
	})
	waitEvent(t, watched["ceilingstatuses"], func(r resource.Resource) bool {
		spec := r.(*resources.CeilingStatus).TypedSpec()

		return spec.State == resources.CeilingApplied && spec.OwnerLimit == unlimited && spec.ReadBack == ceiling500
	})

	checkVersion(t, c)
	checkRefusals(t, l.guard)
}

// waitEvent waits for a created or updated resource that matches.
func waitEvent(t *testing.T, events <-chan state.Event, match func(resource.Resource) bool) {
	t.Helper()

	timeout := time.After(patience)

	for {
		select {
		case event := <-events:
			require.NoError(t, event.Error)

			if (event.Type == state.Created || event.Type == state.Updated) && match(event.Resource) {
				return
			}
		case <-timeout:
			require.Fail(t, "no event matched")
		}
	}
}

// checkVersion does what talosctl's ClientVersionCheck does before a command. talosctl warns if the tag of the server
// does not parse or is older than its own.
func checkVersion(t *testing.T, c *client.Client) {
	t.Helper()

	own, err := semver.ParseTolerant(version.NewVersion().GetTag())
	require.NoError(t, err)

	response, err := c.Version(t.Context())
	require.NoError(t, err)
	require.Len(t, response.GetMessages(), 1)

	server, err := semver.ParseTolerant(response.GetMessages()[0].GetVersion().GetTag())
	require.NoError(t, err)
	assert.GreaterOrEqual(t, server.Compare(own), 0)
	assert.Contains(t, response.GetMessages()[0].GetPlatform().GetName(), "spegel-guard")
}

// checkRefusals makes calls that the server must refuse.
func checkRefusals(t *testing.T, guard *node.Guard) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	// A client of another CA. It trusts the CA of the server, so that the server is the one that refuses.
	other, err := pki.New()
	require.NoError(t, err)

	stranger, err := other.ClientContext(node.GuardEndpoint, role.Admin)
	require.NoError(t, err)

	trusted, err := guard.PKI.ClientContext(node.GuardEndpoint, role.Admin)
	require.NoError(t, err)

	stranger.CA = trusted.CA

	c, err := client.New(ctx, client.WithConfigContext(stranger))
	require.NoError(t, err)

	_, err = c.Version(ctx)
	assert.Equal(t, codes.Unavailable, status.Code(err), "%v", err)

	// No certificate.
	c, err = client.New(ctx, client.WithEndpoints(node.GuardEndpoint), client.WithTLSConfig(&tls.Config{InsecureSkipVerify: true}))
	require.NoError(t, err)

	_, err = c.Version(ctx)
	assert.Equal(t, codes.Unavailable, status.Code(err), "%v", err)

	// A certificate of the CA with a role that must not read.
	c, err = guard.NewClient(ctx, guard.PKI, role.EtcdBackup)
	require.NoError(t, err)

	_, err = c.Version(ctx) // any role may, and it waits for the connection
	require.NoError(t, err)

	_, err = c.COSI.List(ctx, resource.NewMetadata(resources.Namespace, resources.GuardStatusType, "", resource.VersionUndefined))
	assert.Equal(t, codes.PermissionDenied, status.Code(err), "%v", err)

	// No role may write resources.
	c, err = guard.NewClient(ctx, guard.PKI, role.Admin)
	require.NoError(t, err)

	err = c.COSI.Create(ctx, resources.NewGuardStatus("mine"))
	assert.ErrorContains(t, err, "read-only")

	err = c.COSI.Destroy(ctx, resources.NewGuardStatus(resources.GuardStatusID).Metadata())
	assert.ErrorContains(t, err, "read-only")
}
