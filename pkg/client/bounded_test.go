// SPDX-License-Identifier: MPL-2.0

package client

import (
	"bytes"
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
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// endless is a stream of equal responses.
type endless struct {
	grpc.ClientStream

	ctx      context.Context
	received int
	item     *v1alpha1.Resource
}

func (*endless) SendMsg(any) error { return nil }

func (e *endless) RecvMsg(message any) error {
	if e.ctx.Err() != nil {
		return e.ctx.Err()
	}

	e.received++
	message.(*v1alpha1.ListResponse).Resource = e.item

	return nil
}

// TestBoundLists_EndsEndlessList: a node decides how many resources it lists, and how large they are.
func TestBoundLists_EndsEndlessList(t *testing.T) {
	const foreign = "Others.example.org"

	stats := resources.TargetStatsType
	labels := map[string]string{}

	for i := range maxFields + 1 {
		labels[fmt.Sprint(i)] = ""
	}

	for name, test := range map[string]struct {
		item *v1alpha1.Resource
		// most is how many of them are taken.
		most int
		want string
	}{
		"targets": {itemOf(stats, nil, ""), 1024, `more than 1024 resources or 16 MiB of type "TargetStats.spegelguard.dev"`},
		"rules":   {itemOf(resources.RuleStatusType, nil, ""), 16 * 1024, "more than 16384 resources"},
		"configs": {itemOf(resources.GuardConfigType, nil, ""), 1, "more than 1 resources"},
		"foreign": {itemOf(foreign, nil, ""), 1024, "more than 1024 resources"},
		"large":   {itemOf(stats, nil, strings.Repeat("x", 1<<20)), 15, "16 MiB"},

		"large foreign":     {itemOf(foreign, nil, strings.Repeat("[],", maxForeign/3)), 0, `the unknown type "Others.example.org" with more than 256 KiB`},
		"most blockers":     {itemOf(resources.DesiredCeilingType, blockers(maxFields), ""), 1024, "more than 1024 resources"},
		"too many blockers": {itemOf(resources.DesiredCeilingType, blockers(maxFields+1), ""), 0, "more than 256 fields"},
		"most settings":     {itemOf(resources.GuardConfigType, settings(maxSettings), ""), 1, "more than 1 resources"},
		"too many settings": {itemOf(resources.GuardConfigType, settings(maxSettings+maxFields+1), ""), 0, "more than 4352 fields"},
		"labels":            {&v1alpha1.Resource{Metadata: &v1alpha1.Metadata{Type: stats, Labels: labels}}, 0, "more than 256 fields"},
		"annotations":       {&v1alpha1.Resource{Metadata: &v1alpha1.Metadata{Type: stats, Annotations: labels}}, 0, "more than 256 fields"},
		"finalizers":        {&v1alpha1.Resource{Metadata: &v1alpha1.Metadata{Type: stats, Finalizers: make([]string, maxFields+1)}}, 0, "more than 256 fields"},
	} {
		t.Run(name, func(t *testing.T) {
			var sent *endless

			stream, err := boundLists(t.Context(), nil, nil, v1alpha1.State_List_FullMethodName,
				func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
					sent = &endless{ctx: ctx, item: test.item}

					return sent, nil
				})
			require.NoError(t, err)
			require.NoError(t, stream.SendMsg(&v1alpha1.ListRequest{Type: test.item.GetMetadata().GetType()}))

			for err == nil {
				require.LessOrEqual(t, sent.received, test.most)

				err = stream.RecvMsg(&v1alpha1.ListResponse{})
			}

			assert.Equal(t, test.most+1, sent.received)
			assert.Equal(t, codes.ResourceExhausted, status.Code(err))
			assert.ErrorContains(t, err, test.want)
			assert.Error(t, sent.ctx.Err(), "the request has ended")
		})
	}
}

func itemOf(kind string, spec []byte, yaml string) *v1alpha1.Resource {
	return &v1alpha1.Resource{Metadata: &v1alpha1.Metadata{Type: kind}, Spec: &v1alpha1.Spec{ProtoSpec: spec, YamlSpec: yaml}}
}

// blockers and settings are specs with a number of empty elements.
func blockers(count int) []byte {
	return bytes.Repeat([]byte{14<<3 | byte(protowire.BytesType), 0}, count)
}
func settings(count int) []byte {
	return bytes.Repeat([]byte{5<<3 | byte(protowire.BytesType), 0}, count)
}

// TestListBounds_HaveRoomForEveryRule: an honest guard has all of its rules for each target.
func TestListBounds_HaveRoomForEveryRule(t *testing.T) {
	document := "rules:\n"

	for i := range maxRules {
		document += fmt.Sprintf("- {name: Rule%d, signal: cpu, threshold: 400m, window: 1m, for: 1m}\n", i)
	}

	_, err := config.Parse([]byte(document))
	require.NoError(t, err)

	_, err = config.Parse([]byte(document + "- {name: More, signal: cpu, threshold: 400m, window: 1m, for: 1m}\n"))
	assert.ErrorContains(t, err, "must be a list of 1..16 rules")
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
