// SPDX-License-Identifier: MPL-2.0

package encode

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// message is encoded already, and shared: nobody changes it.
type message []byte

// Codec returns a codec that sends the messages of Stream as they are, and leaves all others to another codec. That one would
// copy each into a buffer of gRPC's pool, of up to four times its size, which lasts until the client has read it.
func Codec(others encoding.CodecV2) encoding.CodecV2 { return codec{CodecV2: others} }

type codec struct {
	encoding.CodecV2
}

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(message); ok {
		return mem.BufferSlice{mem.SliceBuffer(m)}, nil
	}

	return c.CodecV2.Marshal(v)
}
