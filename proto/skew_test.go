// SPDX-License-Identifier: MPL-2.0

// Package proto_test checks that this version and the last release understand each other.
package proto_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// file of our API in the baseline.
const file = "spegelguard/v1alpha1/guard.proto"

func baseline(t *testing.T) protoreflect.FileDescriptor {
	t.Helper()

	data, err := os.ReadFile("baseline.binpb")
	require.NoError(t, err)

	var set descriptorpb.FileDescriptorSet
	require.NoError(t, proto.Unmarshal(data, &set))

	files, err := protodesc.NewFiles(&set)
	require.NoError(t, err)

	found, err := files.FindFileByPath(file)
	require.NoError(t, err)

	return found
}

// TestSkew_MessagesOfTheLastRelease sends each message of the last release, with a value in every field, to this version, and the
// message of this version back. Every value of the last release is still there.
func TestSkew_MessagesOfTheLastRelease(t *testing.T) {
	released, current := baseline(t), guardv1alpha1.File_spegelguard_v1alpha1_guard_proto

	for i := range released.Messages().Len() {
		old := released.Messages().Get(i)

		t.Run(string(old.Name()), func(t *testing.T) {
			now := current.Messages().ByName(old.Name())
			require.NotNil(t, now)

			sent := dynamicpb.NewMessage(old)
			fill(sent, 0)
			assertSurvives(t, sent, now, old)

			// This version sends more: what the last release knows arrives.
			more := dynamicpb.NewMessage(now)
			fill(more, 0)

			data, err := proto.Marshal(more)
			require.NoError(t, err)

			received := dynamicpb.NewMessage(old)
			require.NoError(t, proto.Unmarshal(data, received))

			for j := range old.Fields().Len() {
				assert.True(t, received.Has(old.Fields().Get(j)), "%s", old.Fields().Get(j).Name())
			}
		})
	}
}

// TestSkew_MethodsOfTheLastRelease: each method takes and returns the same messages.
func TestSkew_MethodsOfTheLastRelease(t *testing.T) {
	released, current := baseline(t), guardv1alpha1.File_spegelguard_v1alpha1_guard_proto

	for i := range released.Services().Len() {
		service := released.Services().Get(i)
		now := current.Services().ByName(service.Name())
		require.NotNil(t, now, "%s", service.Name())

		for j := range service.Methods().Len() {
			method := service.Methods().Get(j)

			t.Run(string(method.Name()), func(t *testing.T) {
				same := now.Methods().ByName(method.Name())
				require.NotNil(t, same)
				assert.Equal(t, method.Input().FullName(), same.Input().FullName())
				assert.Equal(t, method.Output().FullName(), same.Output().FullName())
				assert.Equal(t, method.IsStreamingServer(), same.IsStreamingServer())
				assert.Equal(t, method.IsStreamingClient(), same.IsStreamingClient())
			})
		}
	}
}

// assertSurvives sends a message through another version of it.
func assertSurvives(t *testing.T, sent *dynamicpb.Message, through, back protoreflect.MessageDescriptor) {
	t.Helper()

	data, err := proto.Marshal(sent)
	require.NoError(t, err)

	received := dynamicpb.NewMessage(through)
	require.NoError(t, proto.Unmarshal(data, received))
	assert.Empty(t, received.GetUnknown(), "fields that this version does not know")

	data, err = proto.Marshal(received)
	require.NoError(t, err)

	again := dynamicpb.NewMessage(back)
	require.NoError(t, proto.Unmarshal(data, again))
	assert.True(t, proto.Equal(sent, again), "%v, was %v", again, sent)
}

// fill sets every field of a message, three levels deep.
func fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()

	for i := range fields.Len() {
		field := fields.Get(i)

		switch {
		case field.IsMap():
			continue
		case field.IsList():
			list := m.Mutable(field).List()

			if field.Message() == nil {
				list.Append(scalar(field, i+1))
			} else if depth < 3 {
				fill(list.AppendMutable().Message(), depth+1)
			}
		case field.Message() != nil:
			if depth < 3 {
				fill(m.Mutable(field).Message(), depth+1)
			}
		default:
			m.Set(field, scalar(field, i+1))
		}
	}
}

func scalar(field protoreflect.FieldDescriptor, n int) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("s")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{1})
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) + 0.5)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(n) + 0.5)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(field.Enum().Values().Get(field.Enum().Values().Len() - 1).Number())
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	default:
		return protoreflect.ValueOfInt64(int64(n))
	}
}
