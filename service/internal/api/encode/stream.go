// SPDX-License-Identifier: MPL-2.0

package encode

import (
	"sync"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// maxMessages is how many messages are shared: what watchers get of the newest changes, some kB each.
const maxMessages = 64

// Messages are those that were sent last. Clients that read slowly keep what is buffered for them, but one copy for all. The zero
// value is ready.
type Messages struct {
	mu     sync.Mutex
	recent map[string]message
}

// share returns a message of the same content.
func (m *Messages) share(encoded []byte) message {
	m.mu.Lock()
	defer m.mu.Unlock()

	if known, ok := m.recent[string(encoded)]; ok {
		return known
	}

	if m.recent == nil || len(m.recent) >= maxMessages {
		m.recent = make(map[string]message, maxMessages)
	}

	m.recent[string(encoded)] = encoded

	return encoded
}

// Stream shares the events that it sends with the streams of other watchers. Its server needs Codec.
type Stream struct {
	grpc.ServerStream

	Messages *Messages
}

// SendMsg implements grpc.ServerStream.
func (s Stream) SendMsg(m any) error {
	events, ok := m.(*v1alpha1.WatchResponse)
	if !ok {
		return s.ServerStream.SendMsg(m)
	}

	encoded, err := proto.Marshal(events)
	if err != nil {
		return err
	}

	return s.ServerStream.SendMsg(s.Messages.share(encoded))
}
