// SPDX-License-Identifier: MPL-2.0

package encode_test

import (
	"testing"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/spegel-guard/spegel-guard/service/internal/api/encode"
)

// sent is a stream that keeps what the codec makes of its messages.
type sent struct {
	grpc.ServerStream

	bodies [][]byte
}

func (s *sent) SendMsg(m any) error {
	data, err := encode.Codec(proxy.Codec()).Marshal(m)
	if err == nil {
		s.bodies = append(s.bodies, data[0].ReadOnlyData())
	}

	return err
}

func TestStream_SharesEvents(t *testing.T) {
	messages, streams := &encode.Messages{}, [2]sent{}

	response := func(id string) *v1alpha1.WatchResponse {
		return &v1alpha1.WatchResponse{Event: []*v1alpha1.Event{{Resource: &v1alpha1.Resource{Metadata: &v1alpha1.Metadata{Id: id}}}}}
	}

	for i := range streams {
		s := encode.Stream{ServerStream: &streams[i], Messages: messages}
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
