// SPDX-License-Identifier: MPL-2.0

// Package badclient provides misbehaving HTTP/2 clients for tests of servers.
package badclient

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
)

// Client is an HTTP/2 client that answers pings and reads everything, but never updates the flow-control window, so that data
// for it stays in the server.
type Client struct {
	conn   *tls.Conn
	framer *http2.Framer
	ended  chan error

	answers atomic.Int64

	// Encoding is the name of a compression; it is empty for none. Set it before the first call.
	Encoding string

	mu     sync.Mutex // for writing, because pings are answered in between
	header bytes.Buffer
	hpack  *hpack.Encoder
	stream uint32
}

// Dial connects, with a flow-control window of each stream (RFC 9113, 6.5.2) in bytes.
func Dial(endpoint string, cfg *tls.Config, window uint32) (*Client, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", endpoint, cfg) //nolint:noctx // it has a timeout
	if err != nil {
		return nil, err
	}

	c := &Client{conn: conn, framer: http2.NewFramer(conn, conn), stream: 1, ended: make(chan error, 1)}
	c.hpack = hpack.NewEncoder(&c.header)

	_, err = conn.Write([]byte(http2.ClientPreface))
	err = errors.Join(err, c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}), c.framer.WriteSettingsAck())

	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}

	go c.read()

	return c, nil
}

func (c *Client) read() {
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			c.ended <- err

			return
		}

		switch frame := frame.(type) {
		case *http2.PingFrame:
			if !frame.IsAck() {
				c.mu.Lock()
				c.framer.WritePing(true, frame.Data) //nolint:errcheck // the next read fails, too
				c.mu.Unlock()
			}
		case *http2.HeadersFrame:
			c.answers.Add(1)
		}
	}
}

// Ended receives an error when the server has closed the connection.
func (c *Client) Ended() <-chan error { return c.ended }

// Answers returns how many headers have arrived. The server sends those of a response with its first message.
func (c *Client) Answers() int64 { return c.answers.Load() }

// Close closes the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Call opens a stream, sends the message unless it is nil, and returns the id of the stream.
func (c *Client) Call(method string, message proto.Message) (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	id, err := c.open(method)
	if err != nil || message == nil {
		return id, err
	}

	body, err := proto.Marshal(message)
	if err != nil {
		return 0, err
	}

	prefix := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body)))

	return id, c.framer.WriteData(id, true, append(prefix, body...))
}

// Withhold opens a stream, announces a message of a size in bytes and sends all of it but the last byte.
func (c *Client) Withhold(method string, size int) error {
	c.mu.Lock()
	defer c.mu.Unlock()

	id, err := c.open(method)
	if err != nil {
		return err
	}

	data := binary.BigEndian.AppendUint32([]byte{0}, uint32(size))
	data = append(data, make([]byte, size-1)...)

	for part := range slices.Chunk(data, maxFrame) {
		if err := c.framer.WriteData(id, false, part); err != nil {
			return err
		}
	}

	return nil
}

// maxFrame is the payload of a frame that every server takes (RFC 9113, 4.2).
const maxFrame = 16 << 10

// open sends the headers of a stream. c.mu must be locked.
func (c *Client) open(method string) (uint32, error) {
	c.header.Reset()

	for _, field := range [][2]string{
		{":method", "POST"}, {":scheme", "https"}, {":path", method}, {":authority", "guard"},
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"grpc-encoding", cmp.Or(c.Encoding, "identity")},
	} {
		if err := c.hpack.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			return 0, err
		}
	}

	id := c.stream
	c.stream += 2

	return id, c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.header.Bytes(), EndHeaders: true})
}

// Reset ends a stream.
func (c *Client) Reset(id uint32) error {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.framer.WriteRSTStream(id, http2.ErrCodeCancel)
}

// RapidReset opens streams and resets them at once (CVE-2023-44487). It ends early if the server closes the connection, and
// returns the number of streams.
func (c *Client) RapidReset(method string, count int) int {
	for i := range count {
		id, err := c.Call(method, nil)
		if err == nil {
			err = c.Reset(id)
		}

		if err != nil {
			return i
		}
	}

	return count
}

// Ping sends pings without a pause, until the server closes the connection or count is reached.
func (c *Client) Ping(count int) {
	for range count {
		c.mu.Lock()
		err := c.framer.WritePing(false, [8]byte{})
		c.mu.Unlock()

		if err != nil {
			return
		}
	}
}

// HalfOpen connects from an address, sends nothing, and waits until the server closes the connection. It returns an error if
// the server does not.
func HalfOpen(from, endpoint string, patience time.Duration) error {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}

	conn, err := dialer.Dial("tcp", endpoint)
	if err != nil {
		return err
	}

	defer conn.Close() //nolint:errcheck // it is closed already

	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}

	var timeout net.Error

	switch _, err := conn.Read(make([]byte, 1)); {
	case err == nil:
		return errors.New("the server has sent data")
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("the server has not closed the connection after %s", patience)
	default:
		return nil
	}
}
