// SPDX-License-Identifier: MPL-2.0

package encode

import (
	"context"
	"errors"
	"sync"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/proto"
)

// maxMessages is how many messages are shared: what watchers get of the newest changes, some kB each.
const maxMessages = 64

// Messages are those that were sent last. Clients that read slowly keep what is buffered for them, but one copy for all. The zero
// value is ready.
type Messages struct {
	mu     sync.Mutex
	recent map[string][]byte
}

// share returns a message of the same content.
func (m *Messages) share(encoded []byte) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()

	if known, ok := m.recent[string(encoded)]; ok {
		return known
	}

	if m.recent == nil || len(m.recent) >= maxMessages {
		m.recent = make(map[string][]byte, maxMessages)
	}

	m.recent[string(encoded)] = encoded

	return encoded
}

// Stream encodes what it sends, so that its size is known and nothing is rounded up. It shares events with the streams of other
// watchers. Its server needs Codec.
type Stream struct {
	grpc.ServerStream

	Messages *Messages
	// Codec encodes what is not protobuf: the messages of the proxy.
	Codec encoding.CodecV2
	// Hold waits until a message of a size in bytes may be sent. free is called when gRPC does not keep it any more.
	Hold func(size int) (free func(), err error)
}

// SendMsg implements grpc.ServerStream.
func (s Stream) SendMsg(m any) error {
	encoded, err := s.encode(m)
	if err != nil {
		return err
	}

	if _, ok := m.(*v1alpha1.WatchResponse); ok {
		encoded = s.Messages.share(encoded)
	}

	free, err := s.Hold(cap(encoded))
	if err != nil {
		return err
	}

	err = s.ServerStream.SendMsg(&message{data: encoded, free: free})

	// gRPC drops what is sent while its stream is reset, and does not free it. After a deadline it may keep it.
	if errors.Is(s.Context().Err(), context.Canceled) {
		free()
	}

	return err
}

func (s Stream) encode(m any) ([]byte, error) {
	if m, ok := m.(proto.Message); ok {
		return proto.MarshalOptions{}.MarshalAppend(make([]byte, 0, max(minCapacity, proto.Size(m))), m)
	}

	data, err := s.Codec.Marshal(m)
	if err != nil {
		return nil, err
	}

	defer data.Free()

	encoded := make([]byte, max(minCapacity, data.Len()))

	return encoded[:data.CopyTo(encoded)], nil
}
