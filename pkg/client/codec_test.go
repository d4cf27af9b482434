// SPDX-License-Identifier: MPL-2.0

package client

import (
	"testing"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// TestBoundedCodec_DecodesNoListThatIsTooLong: the elements of a list take fifty times as much memory as their bytes.
func TestBoundedCodec_DecodesNoListThatIsTooLong(t *testing.T) {
	const most = 100

	for name, message := range map[string]func(count int) proto.Message{
		"checks": func(count int) proto.Message {
			return &guardv1alpha1.DoctorResponse{Messages: []*guardv1alpha1.Checkup{{Checks: empty[guardv1alpha1.Check](count - 1)}}}
		},
		"points": func(count int) proto.Message {
			series := []*guardv1alpha1.Series{{Points: empty[guardv1alpha1.Point](10)}, {Points: empty[guardv1alpha1.Point](count - 13)}}

			return &guardv1alpha1.HistoryResponse{Messages: []*guardv1alpha1.History{{Series: series}}}
		},
		"points of links": func(count int) proto.Message {
			return &guardv1alpha1.HistoryResponse{Messages: []*guardv1alpha1.History{{Links: &guardv1alpha1.Series{Points: empty[guardv1alpha1.Point](count - 1)}}}}
		},
		"events": func(count int) proto.Message { return &v1alpha1.WatchResponse{Event: empty[v1alpha1.Event](count)} },
		"finalizers": func(count int) proto.Message {
			return &v1alpha1.ListResponse{Resource: &v1alpha1.Resource{Metadata: &v1alpha1.Metadata{Finalizers: make([]string, count)}}}
		},
		"settings": func(count int) proto.Message {
			return &v1alpha1.GetResponse{Resource: itemOf(resources.GuardConfigType, settings(count), "")}
		},
		"settings of an event": func(count int) proto.Message {
			half := count / 2
			now, old := itemOf(resources.GuardConfigType, settings(half-1), ""), itemOf(resources.GuardConfigType, settings(count-half), "")

			return &v1alpha1.WatchResponse{Event: []*v1alpha1.Event{{Resource: now, Old: old}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			codec := boundedCodec{CodecV2: encoding.GetCodecV2(protocodec.Name), most: most}

			for _, count := range []int{most, most + 1} {
				sent := message(count)
				data, err := codec.Marshal(sent)
				require.NoError(t, err)

				received := sent.ProtoReflect().New().Interface()

				if err = codec.Unmarshal(data, received); count == most {
					require.NoError(t, err)
					assert.True(t, proto.Equal(sent, received))
				} else {
					require.EqualError(t, err, "the guard sends a message with more than 100 elements in its lists")
					assert.Zero(t, proto.Size(received), "nothing is decoded")
				}
			}
		})
	}
}

func empty[T any](count int) []*T {
	all := make([]*T, count)
	for i := range all {
		all[i] = new(T)
	}

	return all
}

// TestElements_TakesAnyBytes: a node decides what it sends.
func TestElements_TakesAnyBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOf(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte{0x0a, 0x12, 0x1a, 0, 1, 2}))).Draw(t, "data")

		for _, message := range []proto.Message{&v1alpha1.WatchResponse{}, &guardv1alpha1.HistoryResponse{}} {
			count := elements(message.ProtoReflect().Descriptor(), data, maxElements)
			assert.GreaterOrEqual(t, count, 0)

			if err := proto.Unmarshal(data, message); err != nil {
				continue
			}

			decoded := 0
			if watch, ok := message.(*v1alpha1.WatchResponse); ok {
				decoded = len(watch.GetEvent())
			}

			past, _ := message.(*guardv1alpha1.HistoryResponse)

			for _, history := range past.GetMessages() {
				decoded += 1 + len(history.GetSeries()) + len(history.GetLinks().GetPoints())

				for _, series := range history.GetSeries() {
					decoded += len(series.GetPoints())
				}
			}

			assert.GreaterOrEqual(t, count, decoded)
		}
	})
}

// TestMaxElements_HasRoomForTheLongestHistory: checkHistory bounds its parts.
func TestMaxElements_HasRoomForTheLongestHistory(t *testing.T) {
	series := make([]*guardv1alpha1.Series, mostSeries)
	for i := range series {
		series[i] = &guardv1alpha1.Series{Points: empty[guardv1alpha1.Point](mostInAll / mostSeries)}
	}

	history := &guardv1alpha1.History{Series: series}
	require.NoError(t, checkHistory(history))

	data, err := proto.Marshal(&guardv1alpha1.HistoryResponse{Messages: []*guardv1alpha1.History{history}})
	require.NoError(t, err)

	codec := boundedCodec{CodecV2: encoding.GetCodecV2(protocodec.Name), most: maxElements}
	require.NoError(t, codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, &guardv1alpha1.HistoryResponse{}))
}
