// SPDX-License-Identifier: MPL-2.0

package client

import (
	"fmt"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// maxElements bounds the elements of all lists of a message: a history has the most, and is bounded again by its own parts.
	maxElements = mostInAll + 2*mostSeries
	// maxSmallElements is more than a response about targets has. The doctor has the most: four checks of each target, and those of the node.
	maxSmallElements = 5 * maxTargets
)

// boundElements lets a request fail whose response has more elements in its lists. An empty element is two bytes, and about a hundred in
// memory.
func boundElements(most int) grpc.CallOption {
	return grpc.ForceCodecV2(boundedCodec{CodecV2: encoding.GetCodecV2(protocodec.Name), most: most})
}

// boundedCodec decodes no message with more elements than most.
type boundedCodec struct {
	encoding.CodecV2

	most int
}

// Name implements encoding.CodecV2. It is empty so that the content type of requests stays the usual one.
func (boundedCodec) Name() string { return "" }

// Unmarshal implements encoding.CodecV2.
func (c boundedCodec) Unmarshal(data mem.BufferSlice, value any) error {
	message, ok := value.(proto.Message)
	if !ok {
		return c.CodecV2.Unmarshal(data, value)
	}

	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()

	if elements(message.ProtoReflect().Descriptor(), buffer.ReadOnlyData(), c.most) > c.most {
		return fmt.Errorf("the guard sends a message with more than %d elements in its lists", c.most)
	}

	return c.CodecV2.Unmarshal(mem.BufferSlice{buffer}, value)
}

// protoSpec is the field of a resource's spec.
var protoSpec = (&v1alpha1.Spec{}).ProtoReflect().Descriptor().Fields().ByName("proto_spec")

// elements returns how many elements the lists and maps of an encoded message have, with the fields of specs; at least most+1 if it has
// more. It stops at what cannot be decoded.
func elements(of protoreflect.MessageDescriptor, data []byte, most int) int {
	count := 0

	for len(data) > 0 && count <= most {
		number, kind, length := protowire.ConsumeField(data)
		if length < 0 {
			break
		}

		field := of.Fields().ByNumber(number)
		value := data[:length]
		data = data[length:]

		if field == nil {
			continue // it is kept as it was sent
		}

		if field.Cardinality() == protoreflect.Repeated {
			count++
		}

		if kind != protowire.BytesType {
			continue
		}

		_, _, tag := protowire.ConsumeTag(value)
		content, _ := protowire.ConsumeBytes(value[tag:])

		switch {
		case field.Message() != nil:
			count += elements(field.Message(), content, most-count)
		case field == protoSpec:
			count += fieldsOf(content, most-count)
		}
	}

	return count
}

// fieldsOf returns how many fields an encoded message has, and most+1 if it has more. It stops at what cannot be decoded.
func fieldsOf(data []byte, most int) int {
	count := 0

	for len(data) > 0 && count <= most {
		_, _, length := protowire.ConsumeField(data)
		if length < 0 {
			break
		}

		count++
		data = data[length:]
	}

	return count
}
