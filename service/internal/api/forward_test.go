//go:build linux

package api_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// fleet is a control plane node and a worker, whose guards listen on one port.
func fleet(t *testing.T) (controlPlane, worker *guard) {
	t.Helper()

	authority, port := newPKI(t), freePort(t)

	controlPlane = newGuard(t, options{pki: authority, host: "127.0.0.1", port: port, controlPlane: true, forward: true})
	worker = newGuard(t, options{pki: authority, host: "127.0.0.2", port: port, forward: true})

	_, err := safe.StateUpdateWithConflicts(t.Context(), worker.state, resources.NewGuardStatus(resources.GuardStatusID).Metadata(), func(r *resources.GuardStatus) error {
		r.TypedSpec().State = resources.StatePending

		return nil
	})
	require.NoError(t, err)

	return controlPlane, worker
}

func stateOf(t *testing.T, ctx context.Context, c *client.Client) string {
	t.Helper()

	status, err := safe.StateGetByID[*resources.GuardStatus](ctx, c.COSI, resources.GuardStatusID)
	require.NoError(t, err)

	return status.TypedSpec().State
}

// TestTwoNodesThroughOneEndpoint is talosctl -e cp -n worker get spegel, and with both nodes.
func TestTwoNodesThroughOneEndpoint(t *testing.T) {
	controlPlane, worker := fleet(t)
	c := controlPlane.client(t, role.Reader)

	assert.Equal(t, resources.StateThrottled, stateOf(t, t.Context(), c))
	assert.Equal(t, resources.StateThrottled, stateOf(t, client.WithNode(t.Context(), controlPlane.host), c))
	assert.Equal(t, resources.StatePending, stateOf(t, client.WithNode(t.Context(), worker.host), c))

	// Streams go through as they are.
	events := make(chan state.Event)
	require.NoError(t, c.COSI.WatchKind(
		client.WithNode(t.Context(), worker.host), resources.NewGuardStatus("").Metadata(), events, state.WithBootstrapContents(true),
	))
	assert.Equal(t, resources.StatePending, next(t, events).Resource.(*resources.GuardStatus).TypedSpec().State)

	// Answers of several nodes are put together, each with its node's name as the caller gave it.
	both := client.WithNodes(t.Context(), controlPlane.host, worker.host)

	version, err := c.Version(both)
	require.NoError(t, err)
	require.Len(t, version.GetMessages(), 2)

	guards := guardv1alpha1.NewGuardServiceClient(c.Conn())

	worker.history.Add(workload, "c", sample(boottime.Now()-time.Minute, 0.5))
	worker.history.Add(workload, "c", sample(boottime.Now(), 0.5))

	response, err := guards.History(both, &guardv1alpha1.HistoryRequest{})
	require.NoError(t, err)

	points := map[string]int{}
	for _, message := range response.GetMessages() {
		points[message.GetMetadata().GetHostname()] = len(message.GetSeries()[0].GetPoints())
	}

	assert.Equal(t, map[string]int{controlPlane.host: 0, worker.host: 1}, points)

	// talosctl version -n NODE names one node in nodes.
	version, err = c.Version(client.WithNodes(t.Context(), worker.host))
	require.NoError(t, err)
	require.Len(t, version.GetMessages(), 1)
	assert.Equal(t, worker.host, version.GetMessages()[0].GetMetadata().GetHostname())

	// A node by its own name is this one, without a way over the network.
	hostname, err := os.Hostname()
	require.NoError(t, err)
	assert.Equal(t, resources.StateThrottled, stateOf(t, client.WithNode(t.Context(), hostname), c))
}

// TestANodeThatIsDownIsOneErrorAmongAnswers: the others' answers arrive.
func TestANodeThatIsDownIsOneErrorAmongAnswers(t *testing.T) {
	controlPlane, worker := fleet(t)
	c := controlPlane.client(t, role.Reader)

	response, err := c.Version(client.WithNodes(t.Context(), worker.host, "127.0.0.3"))
	require.Error(t, err)
	require.Len(t, response.GetMessages(), 1, "%v", err)
	assert.Equal(t, worker.host, response.GetMessages()[0].GetMetadata().GetHostname())
	assert.ErrorContains(t, err, "127.0.0.3")
}

// TestOrdersAreOnRecordWithWhoGaveThem, also through another node.
func TestOrdersAreOnRecordWithWhoGaveThem(t *testing.T) {
	controlPlane, worker := fleet(t)
	guards := guardv1alpha1.NewGuardServiceClient(controlPlane.client(t, role.Operator).Conn())

	request := &guardv1alpha1.PauseRequest{For: durationpb.New(time.Minute), Reason: "upgrade"}

	_, err := guards.Pause(client.WithNodes(t.Context(), worker.host), request)
	require.NoError(t, err)

	override, err := safe.StateGetByID[*resources.Override](t.Context(), worker.state, resources.OverridePauseID)
	require.NoError(t, err)

	by := override.TypedSpec().By
	assert.Contains(t, by.Subject, "CN=anna")
	assert.Contains(t, by.Subject, "O=os:operator")
	assert.Len(t, by.Fingerprint, 64)
	assert.Regexp(t, `^127\.0\.0\.1:\d+ by way of 127\.0\.0\.1:\d+$`, by.From)

	// The forwarding guard's certificate may everything; what counts is whom it works for.
	readers := guardv1alpha1.NewGuardServiceClient(controlPlane.client(t, role.Reader).Conn())

	_, err = readers.Pause(client.WithNode(t.Context(), worker.host), request)
	assert.Equal(t, codes.PermissionDenied, status.Code(err), "%v", err)
}

func TestWhatIsNotForwarded(t *testing.T) {
	controlPlane, worker := fleet(t)
	c := controlPlane.client(t, role.Admin)

	get := func(ctx context.Context, c *client.Client) error {
		_, err := safe.StateGetByID[*resources.GuardStatus](ctx, c.COSI, resources.GuardStatusID)

		return err
	}
	with := func(pairs ...string) context.Context { return metadata.AppendToOutgoingContext(t.Context(), pairs...) }

	version := func(ctx context.Context) error {
		_, err := c.Version(ctx)

		return err
	}

	many := make([]string, 1001)
	for i := range many {
		many[i] = "10.0.0.1"
	}

	off := newGuard(t, options{pki: controlPlane.pki, host: "127.0.0.4", controlPlane: true})

	for name, test := range map[string]struct {
		err  error
		code codes.Code
		text string
	}{
		"several nodes' resources": {get(client.WithNodes(t.Context(), controlPlane.host, worker.host), c), codes.InvalidArgument, "not supported"},
		"two values of node":       {get(with("node", "127.0.0.2", "node", "127.0.0.3"), c), codes.InvalidArgument, "single-valued"},
		"node and nodes":           {get(with("node", "127.0.0.2", "nodes", "127.0.0.3"), c), codes.InvalidArgument, "stand alone"},
		"forwarded once already":   {get(with("node", worker.host, "proxyfrom", "somewhere"), c), codes.FailedPrecondition, "not forwarded again"},
		"another port":             {get(with("node", "127.0.0.2:22"), c), codes.InvalidArgument, "not a node's name"},
		"a path":                   {get(with("node", "unix:/run/x"), c), codes.InvalidArgument, "not a node's name"},
		"nothing":                  {get(with("node", ""), c), codes.InvalidArgument, "not a node's name"},
		"by a worker":              {get(client.WithNode(t.Context(), off.host), worker.client(t, role.Admin)), codes.PermissionDenied, "control plane nodes have"},
		"too many":                 {version(client.WithNodes(t.Context(), many...)), codes.InvalidArgument, "at most 1000"},
		"when it is off":           {get(client.WithNode(t.Context(), worker.host), off.client(t, role.Admin)), codes.PermissionDenied, "api.forward"},
	} {
		assert.Equal(t, test.code, status.Code(test.err), "%s: %v", name, test.err)
		assert.ErrorContains(t, test.err, test.text, name)
	}

	// This node itself needs no forwarding.
	assert.NoError(t, get(client.WithNode(t.Context(), worker.host), worker.client(t, role.Reader)))
	assert.NoError(t, get(client.WithNodes(t.Context(), off.host), off.client(t, role.Reader)))
}

// TestTheClientsOwnMetadataIsNotForwarded: it could claim to be somebody else.
func TestTheClientsOwnMetadataIsNotForwarded(t *testing.T) {
	controlPlane, worker := fleet(t)
	guards := guardv1alpha1.NewGuardServiceClient(controlPlane.client(t, role.Reader).Conn())

	ctx := metadata.AppendToOutgoingContext(client.WithNode(t.Context(), worker.host),
		constants.APIAuthzRoleMetadataKey, string(role.Admin), "spegel-guard-subject-bin", "CN=root")

	_, err := guards.Pause(ctx, &guardv1alpha1.PauseRequest{For: durationpb.New(time.Minute)})
	assert.Equal(t, codes.PermissionDenied, status.Code(err), "%v", err)
}
