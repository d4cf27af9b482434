// SPDX-License-Identifier: MPL-2.0

package discover

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// fields are the numbers of the fields of a message that the guard reads, each with those of the message in it.
type fields map[protowire.Number][]protowire.Number

// criFields returns the fields that the guard reads of an answer of the runtime, and nil for an answer that is decoded as a whole. The
// numbers are those of k8s.io/cri-api/pkg/apis/runtime/v1/api.proto.
func criFields(message any) fields {
	switch message.(type) {
	case *runtimeapi.ListPodSandboxResponse: // items: id, metadata
		return fields{1: {1, 2}}
	case *runtimeapi.ListContainersResponse: // containers: id, metadata
		return fields{1: {1, 3}}
	case *runtimeapi.ContainerEventResponse: // pod_sandbox_status: metadata, labels
		return fields{4: {2, 7}}
	default:
		return nil
	}
}

// criCodec decodes only the fields that the guard reads. Pods decide on the size of the others: a pod has up to 256 KiB of annotations, and
// an answer has those of all pods. See ADR 0015.
type criCodec struct{ encoding.CodecV2 }

func newCRICodec() criCodec { return criCodec{encoding.GetCodecV2(protocodec.Name)} }

// Name implements encoding.CodecV2. It is empty so that the content-type stays application/grpc, the only one that CRI-O serves.
func (criCodec) Name() string { return "" }

// Unmarshal implements encoding.CodecV2. It decodes a message that it cannot cut as a whole, or returns the error of that.
func (c criCodec) Unmarshal(data mem.BufferSlice, message any) error {
	if read := criFields(message); read != nil {
		if kept, err := cut(data, read); err == nil {
			return proto.Unmarshal(kept, message.(proto.Message))
		}
	}

	return c.CodecV2.Unmarshal(data, message)
}

// cut returns an encoded message with only the fields that the guard reads. It copies one field of the data at a time.
func cut(data mem.BufferSlice, read fields) ([]byte, error) {
	reader := data.Reader()
	defer reader.Close() //nolint:errcheck // it returns none

	var field, kept []byte

	for reader.Remaining() > 0 {
		tag, err := binary.ReadUvarint(reader)
		if err != nil {
			return nil, err
		}

		number, kind := protowire.DecodeTag(tag)

		size, err := sizeOf(reader, kind)
		if err != nil {
			return nil, err
		}

		if size > uint64(reader.Remaining()) {
			return nil, io.ErrUnexpectedEOF
		}

		inner, ok := read[number]
		if !ok || kind != protowire.BytesType {
			if _, err := reader.Discard(int(size)); err != nil {
				return nil, err
			}

			continue
		}

		field = slices.Grow(field[:0], int(size))[:size]
		if _, err := io.ReadFull(reader, field); err != nil {
			return nil, err
		}

		if field, err = prune(field, inner); err != nil {
			return nil, err
		}

		kept = protowire.AppendBytes(protowire.AppendVarint(kept, tag), field)
	}

	return kept, nil
}

var errKind = errors.New("not a kind of field that the CRI uses")

// sizeOf returns how many bytes of a field of a kind follow. It reads those of a number.
func sizeOf(reader *mem.Reader, kind protowire.Type) (uint64, error) {
	switch kind {
	case protowire.VarintType:
		_, err := binary.ReadUvarint(reader)

		return 0, err
	case protowire.BytesType:
		return binary.ReadUvarint(reader)
	default:
		return 0, errKind
	}
}

// prune removes from a message, in place, the fields that the guard does not read.
func prune(message []byte, read []protowire.Number) ([]byte, error) {
	kept := message[:0]

	for len(message) > 0 {
		number, _, size := protowire.ConsumeField(message)
		if size < 0 {
			return nil, protowire.ParseError(size)
		}

		if slices.Contains(read, number) {
			kept = append(kept, message[:size]...)
		}

		message = message[size:]
	}

	return kept, nil
}
