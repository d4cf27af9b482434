// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/spegel-guard/spegel-guard/internal/task"
)

// recordedStream records what is sent.
type recordedStream struct {
	grpc.ClientStream

	sent []string
}

func (s *recordedStream) SendMsg(message any) error {
	data, err := proxy.Codec().Marshal(message)
	s.sent = append(s.sent, string(data.Materialize()))

	return err
}

func (s *recordedStream) CloseSend() error {
	s.sent = append(s.sent, "end")

	return nil
}

func (s *recordedStream) RecvMsg(any) error { return io.EOF }

// TestOpenLater_KeepsWhatIsSent until the stream is open, in its order.
func TestOpenLater_KeepsWhatIsSent(t *testing.T) {
	for name, closes := range map[string]bool{"end before it is open": true, "end later": false} {
		t.Run(name, func(t *testing.T) {
			opened, recorded := make(chan bool), &recordedStream{}

			stream, err := openLater(t.Context(), nil, nil, "", func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
				<-opened

				return recorded, nil
			})
			require.NoError(t, err)

			require.NoError(t, stream.SendMsg(proxy.NewFrame([]byte("first"))))

			if closes {
				require.NoError(t, stream.CloseSend())
			}

			close(opened)
			require.ErrorIs(t, stream.RecvMsg(nil), io.EOF)

			want := []string{"first", "end"}

			if !closes {
				require.NoError(t, stream.SendMsg(proxy.NewFrame([]byte("second"))))
				require.NoError(t, stream.CloseSend())

				want = []string{"first", "second", "end"}
			}

			assert.Equal(t, want, recorded.sent)
		})
	}
}

// TestOpenLater_ReturnsTheFailure from each method that reads, as a stream of gRPC does.
func TestOpenLater_ReturnsTheFailure(t *testing.T) {
	refused := errors.New("refused")

	for want, open := range map[error]func() error{
		refused:          func() error { return refused },
		task.ErrPanicked: func() error { panic("open") },
	} {
		t.Run(want.Error(), func(t *testing.T) {
			stream, err := openLater(t.Context(), nil, nil, "", func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
				return nil, open()
			})
			require.NoError(t, err)

			_, err = stream.Header()
			require.ErrorIs(t, err, want)
			require.ErrorIs(t, stream.RecvMsg(nil), want)
			require.ErrorIs(t, stream.SendMsg(proxy.NewFrame(nil)), io.EOF)
			require.ErrorIs(t, stream.CloseSend(), io.EOF)
			assert.Nil(t, stream.Trailer())
		})
	}
}
