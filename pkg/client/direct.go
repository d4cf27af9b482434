// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"crypto/tls"
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
)

// maxKept is how many nodes a fleet may have that keeps the connections of Ask and Gather for the next request. Even one that is not
// made yet takes 14 kB and three goroutines: 160 MB for 10,000 nodes.
const maxKept = 1000

// direct is the connection to one node. It is made by the first request.
type direct struct {
	address string
	tls     *tls.Config
	extra   []grpc.DialOption
	// brief: Ask and Gather close the connection.
	brief bool

	mu    sync.Mutex
	conn  *grpc.ClientConn
	users int
	// closing: the connection is closed when nobody uses it.
	closing bool
	// closed is set by Close.
	closed bool
	// open is how many TCP connections to the node are open: a new one can overlap with one that ends.
	open atomic.Int32
}

// release ends a use of the connection, and lets the last use close it if it is not kept for others.
func (d *direct) release() {
	d.mu.Lock()
	d.closing = d.brief
	d.mu.Unlock()

	d.end()
}

// end ends a use of the connection. A stream ends its own later than the request that reads it to its end.
func (d *direct) end() {
	d.mu.Lock()
	defer d.mu.Unlock()

	if d.users--; d.users == 0 && d.closing && d.conn != nil {
		d.conn.Close() //nolint:errcheck // the only error is that it is closed
		d.conn, d.closing = nil, false
	}
}

// use returns the connection, until end or release.
func (d *direct) use() (*grpc.ClientConn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()

	if d.closed {
		return nil, grpc.ErrClientConnClosing //nolint:staticcheck // what a connection that is closed returns
	}

	if d.conn == nil {
		conn, err := grpc.NewClient("passthrough:///"+d.address, append(dialOptions(d.tls, &d.open), d.extra...)...)
		if err != nil {
			return nil, err
		}

		d.conn = conn
	}

	d.users++

	return d.conn, nil
}

// Invoke implements grpc.ClientConnInterface.
func (d *direct) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	conn, err := d.use()
	if err != nil {
		return err
	}

	defer d.end()

	return conn.Invoke(ctx, method, args, reply, opts...)
}

// NewStream implements grpc.ClientConnInterface.
func (d *direct) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	conn, err := d.use()
	if err != nil {
		return nil, err
	}

	// gRPC calls it for some of the streams that it does not create. The context of a stream is no alternative: whoever asks for it
	// commits the first attempt, and a request that a stopping guard has refused is not repeated.
	end := sync.OnceFunc(d.end)

	stream, err := conn.NewStream(ctx, desc, method, slices.Concat(opts, []grpc.CallOption{grpc.OnFinish(func(error) { end() })})...)
	if err != nil {
		end()

		return nil, err
	}

	return stream, nil
}

// Close closes the connection. Requests fail from now on.
func (d *direct) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()

	d.closed = true

	if d.conn == nil {
		return nil
	}

	conn := d.conn
	d.conn = nil

	return conn.Close()
}
