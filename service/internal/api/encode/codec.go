// SPDX-License-Identifier: MPL-2.0

package encode

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// minCapacity is the least capacity of a message in bytes: gRPC does not report that it is done with a smaller one (mem.NewBuffer).
const minCapacity = 1152

// message is encoded already. Its data may be shared: nobody changes it.
type message struct {
	data []byte
	// free is called when gRPC is done with the message: the client's window had room for it, or its stream has ended.
	free func()
}

// Get implements mem.BufferPool.
func (*message) Get(int) *[]byte { return nil }

// Put implements mem.BufferPool.
func (m *message) Put(*[]byte) { m.free() }

// Codec returns a codec that sends the messages of Stream as they are, and leaves all others to another codec. That one would
// copy each into a buffer of gRPC's pool, of up to thirty times its size, which lasts until the client has read it.
func Codec(others encoding.CodecV2) encoding.CodecV2 { return codec{CodecV2: others} }

type codec struct {
	encoding.CodecV2
}

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*message); ok {
		return mem.BufferSlice{mem.NewBuffer(&m.data, m)}, nil
	}

	return c.CodecV2.Marshal(v)
}
