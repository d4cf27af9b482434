// SPDX-License-Identifier: MPL-2.0

//go:build linux

package forward_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
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
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/service/internal/api/apitest"
)

// TestRouter_ForwardsToOneNodeAndToSeveral is talosctl -e cp -n worker get spegel, and with both nodes.
func TestRouter_ForwardsToOneNodeAndToSeveral(t *testing.T) {
	controlPlane, worker := apitest.NewFleet(t)
	c := controlPlane.Client(t, role.Reader)

	assert.Equal(t, resources.StateThrottled, apitest.StateOf(t.Context(), t, c))
	assert.Equal(t, resources.StateThrottled, apitest.StateOf(client.WithNode(t.Context(), controlPlane.Host), t, c))
	assert.Equal(t, resources.StatePending, apitest.StateOf(client.WithNode(t.Context(), worker.Host), t, c))

	// Streams go through as they are.
	events := make(chan state.Event)
	require.NoError(t, c.COSI.WatchKind(
		client.WithNode(t.Context(), worker.Host), resources.NewGuardStatus("").Metadata(), events, state.WithBootstrapContents(true),
	))
	assert.Equal(t, resources.StatePending, apitest.Next(t, events).Resource.(*resources.GuardStatus).TypedSpec().State)

	// Answers of several nodes are put together, each with its node's name as the caller gave it.
	both := client.WithNodes(t.Context(), controlPlane.Host, worker.Host)

	version, err := c.Version(both)
	require.NoError(t, err)
	require.Len(t, version.GetMessages(), 2)

	guards := guardv1alpha1.NewGuardServiceClient(c.Conn())

	worker.History.Add(apitest.Workload, "c", apitest.Sample(boottime.Now()-time.Minute, 0.5))
	worker.History.Add(apitest.Workload, "c", apitest.Sample(boottime.Now(), 0.5))

	response, err := guards.History(both, &guardv1alpha1.HistoryRequest{})
	require.NoError(t, err)

	points := map[string]int{}
	for _, message := range response.GetMessages() {
		points[message.GetMetadata().GetHostname()] = len(message.GetSeries()[0].GetPoints())
	}

	assert.Equal(t, map[string]int{controlPlane.Host: 0, worker.Host: 1}, points)

	// talosctl version -n NODE names one node in nodes.
	version, err = c.Version(client.WithNodes(t.Context(), worker.Host))
	require.NoError(t, err)
	require.Len(t, version.GetMessages(), 1)
	assert.Equal(t, worker.Host, version.GetMessages()[0].GetMetadata().GetHostname())

	// A node by its own name is this one, without a way over the network.
	hostname, err := os.Hostname()
	require.NoError(t, err)
	assert.Equal(t, resources.StateThrottled, apitest.StateOf(client.WithNode(t.Context(), hostname), t, c))
}

// TestRouter_ReturnsAnErrorForANodeThatIsDown: the others' answers arrive.
func TestRouter_ReturnsAnErrorForANodeThatIsDown(t *testing.T) {
	controlPlane, worker := apitest.NewFleet(t)
	c := controlPlane.Client(t, role.Reader)

	response, err := c.Version(client.WithNodes(t.Context(), worker.Host, "127.0.0.3"))
	require.Error(t, err)
	require.Len(t, response.GetMessages(), 1, "%v", err)
	assert.Equal(t, worker.Host, response.GetMessages()[0].GetMetadata().GetHostname())
	assert.ErrorContains(t, err, "127.0.0.3")
}

// TestRouter_ExplainsErrors: the words are those that an unmodified talosctl shows.
func TestRouter_ExplainsErrors(t *testing.T) {
	controlPlane, worker := apitest.NewFleet(t)
	off := apitest.New(t, apitest.Options{PKI: controlPlane.PKI, Host: "127.0.0.4", ControlPlane: true})
	_, port, err := net.SplitHostPort(controlPlane.Endpoint)
	require.NoError(t, err)

	name, err := os.Hostname()
	require.NoError(t, err)

	prefix := "this is node " + name + "; it "

	for _, test := range []struct {
		name, node string
		through    *apitest.Guard
		code       codes.Code
		want       string
	}{
		{"unknown name", "nowhere.invalid", controlPlane, codes.Unavailable, "does not know the name nowhere.invalid: correct it, or use the node's address"},
		{
			"node is down", "127.0.0.3", controlPlane, codes.Unavailable,
			"cannot reach 127.0.0.3: nothing listens on 127.0.0.3:" + port + ": is the extension running, is the firewall open?",
		},
		{
			"forwarding is off", worker.Host, off, codes.PermissionDenied,
			"forwards no request to 127.0.0.2: set api.forward, or connect to each node directly; over the unix socket nothing is forwarded",
		},
		{
			"forwarding is off and the name unknown", "nowhere.invalid", off, codes.PermissionDenied,
			"does not know the name nowhere.invalid, and forwards no request: set api.forward, or connect to each node directly; over the unix socket nothing is forwarded",
		},
		{
			"worker", "127.0.0.3", worker, codes.PermissionDenied,
			"forwards no request to 127.0.0.3: this node has no client certificate: control plane nodes have one",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := test.through.Client(t, role.Reader)

			_, err := safe.StateGetByID[*resources.GuardStatus](client.WithNode(t.Context(), test.node), c.COSI, resources.GuardStatusID)
			assert.Equal(t, test.code, status.Code(err))
			assert.ErrorContains(t, err, prefix+test.want)
		})
	}

	// Among the responses of several nodes.
	_, err = controlPlane.Client(t, role.Reader).Version(client.WithNodes(t.Context(), worker.Host, "127.0.0.3"))
	assert.ErrorContains(t, err, prefix+"cannot reach 127.0.0.3: nothing listens on 127.0.0.3:"+port)
}

// TestRouter_NamesTheCaller, also through another node.
func TestRouter_NamesTheCaller(t *testing.T) {
	controlPlane, worker := apitest.NewFleet(t)
	guards := guardv1alpha1.NewGuardServiceClient(controlPlane.Client(t, role.Operator).Conn())

	request := &guardv1alpha1.PauseRequest{For: durationpb.New(time.Minute), Reason: "upgrade"}

	_, err := guards.Pause(client.WithNodes(t.Context(), worker.Host), request)
	require.NoError(t, err)

	override, err := safe.StateGetByID[*resources.Override](t.Context(), worker.State, resources.OverridePauseID)
	require.NoError(t, err)

	by := override.TypedSpec().By
	assert.Contains(t, by.Subject, "CN=anna")
	assert.Contains(t, by.Subject, "O=os:operator")
	assert.Len(t, by.Fingerprint, 64)
	assert.Regexp(t, `^127\.0\.0\.1:\d+ by way of 127\.0\.0\.1:\d+$`, by.From)

	// The forwarding guard's certificate may everything; what counts is whom it works for.
	readers := guardv1alpha1.NewGuardServiceClient(controlPlane.Client(t, role.Reader).Conn())

	_, err = readers.Pause(client.WithNode(t.Context(), worker.Host), request)
	assert.Equal(t, codes.PermissionDenied, status.Code(err), "%v", err)
}

func TestRouter_RefusesRequests(t *testing.T) {
	controlPlane, worker := apitest.NewFleet(t)
	c := controlPlane.Client(t, role.Admin)

	get := func(ctx context.Context, c *client.Client) error {
		_, err := safe.StateGetByID[*resources.GuardStatus](ctx, c.COSI, resources.GuardStatusID)

		return err
	}
	with := func(pairs ...string) context.Context { return metadata.AppendToOutgoingContext(t.Context(), pairs...) }

	version := func(ctx context.Context, c *client.Client) error {
		_, err := c.Version(ctx)

		return err
	}

	many := make([]string, 1001)
	for i := range many {
		many[i] = "10.0.0.1"
	}

	off := apitest.New(t, apitest.Options{PKI: controlPlane.PKI, Host: "127.0.0.4", ControlPlane: true})

	var long []string

	for i := range 200 {
		long = append(long, fmt.Sprintf("%0250d", i))
	}

	for name, test := range map[string]struct {
		err  error
		code codes.Code
		text string
	}{
		"many long names":          {version(client.WithNodes(t.Context(), long...), off.Client(t, role.Admin)), codes.PermissionDenied, " and 197 more"},
		"many, forwarded already":  {version(metadata.AppendToOutgoingContext(client.WithNodes(t.Context(), long...), "proxyfrom", "x"), c), codes.FailedPrecondition, " and 197 more"},
		"a long method":            {c.Conn().Invoke(t.Context(), "/a/"+strings.Repeat("x", 10_000), &emptypb.Empty{}, &emptypb.Empty{}), codes.Unimplemented, "the guard has no method /a/xxx"},
		"several nodes' resources": {get(client.WithNodes(t.Context(), controlPlane.Host, worker.Host), c), codes.InvalidArgument, "not supported"},
		"two values of node":       {get(with("node", "127.0.0.2", "node", "127.0.0.3"), c), codes.InvalidArgument, "node must have one value"},
		"node and nodes":           {get(with("node", "127.0.0.2", "nodes", "127.0.0.3"), c), codes.InvalidArgument, "exclude nodes"},
		"forwarded once already":   {get(with("node", worker.Host, "proxyfrom", "somewhere"), c), codes.FailedPrecondition, "not forwarded again"},
		"another port":             {get(with("node", "127.0.0.2:22"), c), codes.InvalidArgument, "must be a node's name"},
		"a path":                   {get(with("node", "unix:/run/x"), c), codes.InvalidArgument, "must be a node's name"},
		"nothing":                  {get(with("node", ""), c), codes.InvalidArgument, "must be a node's name"},
		"by a worker":              {get(client.WithNode(t.Context(), off.Host), worker.Client(t, role.Admin)), codes.PermissionDenied, "control plane nodes have"},
		"too long":                 {version(client.WithNode(t.Context(), strings.Repeat("x", 254)), c), codes.InvalidArgument, "the name of a node has 254 bytes, must have at most 253"},
		"too many":                 {version(client.WithNodes(t.Context(), many...), c), codes.InvalidArgument, "nodes has 1001 values, must have at most 256: send several requests"},
		"when it is off":           {get(client.WithNode(t.Context(), worker.Host), off.Client(t, role.Admin)), codes.PermissionDenied, "api.forward"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.code, status.Code(test.err), "%v", test.err)
			assert.ErrorContains(t, test.err, test.text)
			assert.Less(t, len(test.err.Error()), 2048, "an error has no more of a request than a person reads")
		})
	}

	// This node itself needs no forwarding.
	assert.NoError(t, get(client.WithNode(t.Context(), worker.Host), worker.Client(t, role.Reader)))
	assert.NoError(t, get(client.WithNodes(t.Context(), off.Host), off.Client(t, role.Reader)))
}

// TestRouter_DropsTheClientsMetadata: it could claim to be somebody else.
func TestRouter_DropsTheClientsMetadata(t *testing.T) {
	controlPlane, worker := apitest.NewFleet(t)
	guards := guardv1alpha1.NewGuardServiceClient(controlPlane.Client(t, role.Reader).Conn())

	ctx := metadata.AppendToOutgoingContext(client.WithNode(t.Context(), worker.Host),
		constants.APIAuthzRoleMetadataKey, string(role.Admin), "spegel-guard-subject-bin", "CN=root")

	_, err := guards.Pause(ctx, &guardv1alpha1.PauseRequest{For: durationpb.New(time.Minute)})
	assert.Equal(t, codes.PermissionDenied, status.Code(err), "%v", err)
}
