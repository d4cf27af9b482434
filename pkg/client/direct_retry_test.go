// SPDX-License-Identifier: MPL-2.0

package client

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/spegel-guard/spegel-guard/test/pki"
)

// TestDirect_KeepsTransparentRetry: gRPC repeats a request that the server has not begun, as while a guard stops, unless something has
// committed its first attempt.
func TestDirect_KeepsTransparentRetry(t *testing.T) {
	authority, err := pki.New()
	require.NoError(t, err)

	config, err := authority.ClientTLS("anna", role.Reader)
	require.NoError(t, err)

	d := &direct{address: refuseFirst(t, authority), tls: config, brief: true}

	t.Cleanup(func() { assert.NoError(t, d.Close()) })

	conn, err := d.use()
	require.NoError(t, err)

	stream, err := d.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/a/Stream")
	require.NoError(t, err)

	d.release()
	require.NoError(t, stream.SendMsg(&emptypb.Empty{}))
	require.NoError(t, stream.CloseSend())
	assert.Equal(t, io.EOF, stream.RecvMsg(&emptypb.Empty{}), "the second attempt succeeds")
	assert.Equal(t, connectivity.Shutdown, conn.GetState(), "the end of the stream is the last use")
}

// refuseFirst serves one connection. It refuses the first stream as one that it has not begun, and ends the next with gRPC's status OK.
func refuseFirst(t *testing.T, authority *pki.PKI) string {
	t.Helper()

	pair, err := authority.Server("127.0.0.1")
	require.NoError(t, err)

	certificate, err := tls.X509KeyPair(pair.Crt, pair.Key)
	require.NoError(t, err)

	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13,
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, listener.Close()) })

	go func() {
		if conn, err := listener.Accept(); err == nil {
			assert.NoError(t, serveRefusing(conn))
		}
	}()

	return listener.Addr().String()
}

// serveRefusing serves a connection until the client closes it.
func serveRefusing(conn net.Conn) error {
	defer conn.Close()

	framer := http2.NewFramer(conn, conn)

	// The client waits for the first bytes of the server.
	if err := framer.WriteSettings(); err != nil {
		return err
	}

	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return err
	}

	for refused := false; ; {
		frame, err := framer.ReadFrame()
		if err != nil {
			return nil // closed
		}

		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = framer.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			if refused {
				err = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: frame.StreamID, EndHeaders: true, EndStream: true, BlockFragment: trailers()})
			} else {
				err = framer.WriteRSTStream(frame.StreamID, http2.ErrCodeRefusedStream)
			}

			refused = true
		}

		if err != nil {
			return err
		}
	}
}

// trailers returns the end of a stream with the status OK.
func trailers() []byte {
	var block bytes.Buffer

	encoder := hpack.NewEncoder(&block)

	for _, field := range []hpack.HeaderField{
		{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/grpc"}, {Name: "grpc-status", Value: "0"},
	} {
		encoder.WriteField(field)
	}

	return block.Bytes()
}
