// SPDX-License-Identifier: MPL-2.0

package encode_test

import (
	"cmp"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/spegel-guard/spegel-guard/service/internal/api/encode"
)

// sent is a stream that keeps what the codec makes of its messages.
type sent struct {
	grpc.ServerStream

	bodies [][]byte
	kept   mem.BufferSlice
	ctx    context.Context //nolint:containedctx // grpc.ServerStream returns its context from a method
}

func (s *sent) SendMsg(m any) error {
	data, err := encode.Codec(proxy.Codec()).Marshal(m)
	if err == nil {
		s.bodies, s.kept = append(s.bodies, data[0].ReadOnlyData()), append(s.kept, data...)
	}

	return err
}

// Context implements grpc.ServerStream.
func (s *sent) Context() context.Context { return cmp.Or(s.ctx, context.Background()) }

func hold(int) (func(), error) { return func() {}, nil }

func TestStream_SharesEvents(t *testing.T) {
	messages, streams := &encode.Messages{}, [2]sent{}

	response := func(id string) *v1alpha1.WatchResponse {
		return &v1alpha1.WatchResponse{Event: []*v1alpha1.Event{{Resource: &v1alpha1.Resource{Metadata: &v1alpha1.Metadata{Id: id}}}}}
	}

	for i := range streams {
		s := encode.Stream{ServerStream: &streams[i], Messages: messages, Hold: hold}
		require.NoError(t, s.SendMsg(response("a")))
		require.NoError(t, s.SendMsg(&v1alpha1.GetResponse{Resource: response("b").GetEvent()[0].GetResource()}))
	}

	want, err := proto.Marshal(response("a"))
	require.NoError(t, err)

	assert.Equal(t, want, streams[0].bodies[0])
	assert.Same(t, &streams[0].bodies[0][0], &streams[1].bodies[0][0], "one copy for all watchers")
	assert.NotSame(t, &streams[0].bodies[1][0], &streams[1].bodies[1][0], "answers are each client's own")
	assert.NotEmpty(t, streams[0].bodies[1])
}

// TestStream_HoldsWhatGRPCKeeps: a message counts until gRPC frees it, however small it is.
func TestStream_HoldsWhatGRPCKeeps(t *testing.T) {
	for name, message := range map[string]any{
		"empty":            &v1alpha1.GetResponse{},
		"event":            &v1alpha1.WatchResponse{Event: []*v1alpha1.Event{{EventType: v1alpha1.EventType_UPDATED}}},
		"answer":           &v1alpha1.GetResponse{Resource: &v1alpha1.Resource{Spec: &v1alpha1.Spec{YamlSpec: strings.Repeat("x", 100<<10)}}},
		"forwarded":        proxy.NewFrame([]byte("a")),
		"forwarded, large": proxy.NewFrame(make([]byte, 100<<10)),
	} {
		t.Run(name, func(t *testing.T) {
			var (
				to   sent
				held int
			)

			s := encode.Stream{ServerStream: &to, Messages: &encode.Messages{}, Codec: proxy.Codec(), Hold: func(size int) (func(), error) {
				held += size

				return func() { held -= size }, nil
			}}

			plain, err := proxy.Codec().Marshal(message)
			require.NoError(t, err)
			require.NoError(t, s.SendMsg(message))

			assert.Equal(t, plain.Materialize(), append([]byte(nil), to.bodies[0]...))
			assert.GreaterOrEqual(t, held, plain.Len())
			assert.Positive(t, held)

			to.kept.Free()
			assert.Zero(t, held)
		})
	}
}

// TestStream_FreesWhatAResetDropped: gRPC drops a message that is sent while the client resets its stream.
func TestStream_FreesWhatAResetDropped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	freed := 0
	s := encode.Stream{ServerStream: &sent{ctx: ctx}, Messages: &encode.Messages{}, Hold: func(int) (func(), error) {
		return func() { freed++ }, nil
	}}

	require.NoError(t, s.SendMsg(&v1alpha1.GetResponse{}))
	assert.Equal(t, 1, freed)
}

// TestStream_SendsNothingWithoutRoom: the error of Hold is returned.
func TestStream_SendsNothingWithoutRoom(t *testing.T) {
	var to sent

	s := encode.Stream{ServerStream: &to, Messages: &encode.Messages{}, Hold: func(int) (func(), error) { return nil, io.EOF }}

	require.ErrorIs(t, s.SendMsg(&v1alpha1.GetResponse{}), io.EOF)
	assert.Empty(t, to.bodies)
}
