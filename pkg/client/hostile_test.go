// SPDX-License-Identifier: MPL-2.0

package client_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// TestAsk_RefusesListsOfOneNode: a guard that lists more than guards have fails, and the others are answered.
func TestAsk_RefusesListsOfOneNode(t *testing.T) {
	current, hosts, port, guards := serve(t)

	// It has one target already.
	for i := range 1024 {
		require.NoError(t, guards[1].State.Create(t.Context(), resources.NewTargetStats(fmt.Sprintf("n/p-%d/c", i))))
		require.NoError(t, guards[1].State.Create(t.Context(), resources.NewTarget(fmt.Sprintf("n/p-%d/c", i))))
		require.NoError(t, guards[1].State.Create(t.Context(), resources.NewGuardAction(fmt.Sprint(i))))
	}

	fleet := openAll(t, current, hosts, port)

	for name, request := range map[string]func(*client.Node, context.Context) (any, error){
		"status":  func(n *client.Node, ctx context.Context) (any, error) { return n.Status(ctx) },
		"figures": func(n *client.Node, ctx context.Context) (any, error) { return n.Figures(ctx) },
		"explain": func(n *client.Node, ctx context.Context) (any, error) { return n.Explain(ctx, "") },
		"targets": func(n *client.Node, ctx context.Context) (any, error) { return n.Targets(ctx) },
		"events":  func(n *client.Node, ctx context.Context) (any, error) { return n.PastEvents(ctx, -1) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, result := range client.Gather(t.Context(), fleet, request) {
				if result.Node.Name == current.Nodes[1] {
					require.ErrorContains(t, result.Err, current.Nodes[1]+": ResourceExhausted: the guard lists more than 1024 resources or 16 MiB of type")
				} else {
					require.NoError(t, result.Err)
				}
			}
		})
	}
}

// hostile is a guard that sends a number of empty elements.
type hostile struct {
	v1alpha1.UnimplementedStateServer
	guardv1alpha1.UnimplementedGuardServiceServer

	count int
}

func (h hostile) History(context.Context, *guardv1alpha1.HistoryRequest) (*guardv1alpha1.HistoryResponse, error) {
	series := &guardv1alpha1.Series{}
	for range h.count {
		series.Points = append(series.Points, &guardv1alpha1.Point{})
	}

	return &guardv1alpha1.HistoryResponse{Messages: []*guardv1alpha1.History{{Series: []*guardv1alpha1.Series{series}}}}, nil
}

func (h hostile) Watch(_ *v1alpha1.WatchRequest, stream grpc.ServerStreamingServer[v1alpha1.WatchResponse]) error {
	response := &v1alpha1.WatchResponse{}
	for range h.count {
		response.Event = append(response.Event, &v1alpha1.Event{})
	}

	return stream.Send(response)
}

func (h hostile) Get(context.Context, *v1alpha1.GetRequest) (*v1alpha1.GetResponse, error) {
	return &v1alpha1.GetResponse{Resource: &v1alpha1.Resource{
		Metadata: &v1alpha1.Metadata{Type: resources.GuardConfigType, Finalizers: make([]string, h.count)},
	}}, nil
}

// TestNode_DecodesNoListThatIsTooLong: an empty element has two bytes on the wire.
func TestNode_DecodesNoListThatIsTooLong(t *testing.T) {
	dial := func(ctx context.Context, _ string, dial dialer) (net.Conn, error) { return dial(ctx) }
	fleet := serveBy(t, 1, time.Minute, dial, func(server *grpc.Server) {
		v1alpha1.RegisterStateServer(server, hostile{count: 70_000})
		guardv1alpha1.RegisterGuardServiceServer(server, hostile{count: 70_000})
	})
	node := fleet.Nodes()[0]

	for name, request := range map[string]func(context.Context) error{
		"history": func(ctx context.Context) error {
			_, err := node.History(ctx, "", 0)

			return err
		},
		"events": func(ctx context.Context) error { return node.Events(ctx, 0, func(client.Event) error { return nil }) },
		"config": func(ctx context.Context) error {
			_, err := node.Config(ctx)

			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.ErrorContains(t, request(t.Context()), "the guard sends a message with more than ")
		})
	}
}

// TestNode_HistoryOfManyTargets: an honest guard sends an empty series for each target without a history.
func TestNode_HistoryOfManyTargets(t *testing.T) {
	current, hosts, port, guards := serve(t)

	for i := range 200 {
		require.NoError(t, guards[0].State.Create(t.Context(), resources.NewTarget(fmt.Sprintf("n/p-%d/c", i))))
	}

	fleet, err := client.OpenContext(current, patient(client.Options{Nodes: []string{net.JoinHostPort(hosts[0], port)}}))
	require.NoError(t, err)

	defer fleet.Close()

	history, err := fleet.Nodes()[0].History(t.Context(), "", 0)
	require.NoError(t, err)
	assert.Len(t, history.GetSeries(), 202)
}
