// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"errors"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// FuzzAppendInfo: whatever another node answers, it is named or refused, and never half of it.
func FuzzAppendInfo(f *testing.F) {
	for _, response := range []proto.Message{
		&machine.VersionResponse{},
		&machine.VersionResponse{Messages: []*machine.Version{{Metadata: &common.Metadata{Hostname: "node"}, Platform: &machine.PlatformInfo{Name: "x"}}, {}}},
		&guardv1alpha1.HistoryResponse{Messages: []*guardv1alpha1.History{{Series: []*guardv1alpha1.Series{{Target: "a/b/c"}}}}},
	} {
		data, err := proto.Marshal(response)
		require.NoError(f, err)
		f.Add(data)
	}

	f.Fuzz(func(t *testing.T, response []byte) {
		var before, after guardv1alpha1.HistoryResponse

		named, err := (&peerNode{target: "10.0.0.2"}).AppendInfo(false, response)
		if proto.Unmarshal(response, &before) != nil || len(before.ProtoReflect().GetUnknown()) > 0 {
			return // it need not make sense of what is none
		}

		require.NoError(t, err)
		require.NoError(t, proto.Unmarshal(named, &after))
		require.Len(t, after.GetMessages(), len(before.GetMessages()))

		for i, message := range after.GetMessages() {
			assert.Equal(t, "10.0.0.2", message.GetMetadata().GetHostname())

			// Nothing else is changed.
			expected := before.GetMessages()[i]
			if expected.Metadata == nil {
				expected.Metadata = &common.Metadata{Hostname: "node"}
			}

			expected.Metadata.Hostname = "10.0.0.2"
			assert.True(t, proto.Equal(expected, message))
		}
	})
}

func TestPeerNode_BuildsErrors(t *testing.T) {
	node := &peerNode{target: "10.0.0.2"}
	failure := status.Error(codes.Unavailable, "gone")

	data, err := node.BuildError(false, failure)
	require.NoError(t, err)

	var response guardv1alpha1.HistoryResponse

	require.NoError(t, proto.Unmarshal(data, &response))
	require.Len(t, response.GetMessages(), 1)

	metadata := response.GetMessages()[0].GetMetadata()
	assert.Equal(t, "10.0.0.2", metadata.GetHostname())
	assert.Equal(t, failure.Error(), metadata.GetError())
	assert.Equal(t, int32(codes.Unavailable), metadata.GetStatus().GetCode())

	data, err = node.BuildError(true, errors.New("plain"))
	require.NoError(t, err)

	var message guardv1alpha1.History

	require.NoError(t, proto.Unmarshal(data, &message))
	assert.Equal(t, "plain", message.GetMetadata().GetError())
}
