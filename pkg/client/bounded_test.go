// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// endless is a stream of equal responses.
type endless struct {
	grpc.ClientStream

	ctx      context.Context
	received int
	yaml     string
}

func (e *endless) RecvMsg(message any) error {
	if e.ctx.Err() != nil {
		return e.ctx.Err()
	}

	e.received++
	message.(*v1alpha1.ListResponse).Resource = &v1alpha1.Resource{Spec: &v1alpha1.Spec{YamlSpec: e.yaml}}

	return nil
}

// TestBoundLists_EndsEndlessList: a node decides how many resources it lists.
func TestBoundLists_EndsEndlessList(t *testing.T) {
	for name, test := range map[string]struct {
		yaml string
		most int
	}{
		"small": {"", maxListedItems + 1},
		"large": {strings.Repeat("x", 1<<20), 16},
	} {
		t.Run(name, func(t *testing.T) {
			var sent *endless

			stream, err := boundLists(t.Context(), nil, nil, v1alpha1.State_List_FullMethodName,
				func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
					sent = &endless{ctx: ctx, yaml: test.yaml}

					return sent, nil
				})
			require.NoError(t, err)

			for err == nil {
				require.LessOrEqual(t, sent.received, test.most)

				err = stream.RecvMsg(&v1alpha1.ListResponse{})
			}

			assert.Equal(t, codes.ResourceExhausted, status.Code(err))
			assert.ErrorContains(t, err, "the guard lists more than 100000 resources or 16 MiB of one type")
			assert.Error(t, sent.ctx.Err(), "the request has ended")
		})
	}
}

// listing is a stream of one response.
type listing struct {
	grpc.ClientStream

	kind string
}

func (*listing) SendMsg(any) error { return nil }

func (l *listing) RecvMsg(message any) error {
	message.(*v1alpha1.ListResponse).Resource = &v1alpha1.Resource{Metadata: &v1alpha1.Metadata{Type: l.kind}}

	return nil
}

// TestBoundLists_RefusesOtherTypes: a resource of another Go type than the command expects would end it.
func TestBoundLists_RefusesOtherTypes(t *testing.T) {
	for kind, want := range map[string]codes.Code{
		resources.TargetStatsType: codes.OK, resources.ConditionType: codes.DataLoss, "": codes.DataLoss, strings.Repeat("x", 1000): codes.DataLoss,
	} {
		stream, err := boundLists(t.Context(), nil, nil, v1alpha1.State_List_FullMethodName,
			func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
				return &listing{kind: kind}, nil
			})
		require.NoError(t, err)
		require.NoError(t, stream.SendMsg(&v1alpha1.ListRequest{Type: resources.TargetStatsType}))

		err = stream.RecvMsg(&v1alpha1.ListResponse{})
		assert.Equal(t, want, status.Code(err), kind)
		assert.Less(t, len(fmt.Sprint(err)), 300)
	}
}

// TestBoundLists_LeavesWatches: a watch has no end.
func TestBoundLists_LeavesWatches(t *testing.T) {
	sent := &endless{}

	stream, err := boundLists(t.Context(), nil, nil, v1alpha1.State_Watch_FullMethodName,
		func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
			return sent, nil
		})
	require.NoError(t, err)
	assert.Same(t, sent, stream)
}
