// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package netns reads the link counters of a network namespace and connects to sockets inside of it.
package netns

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/internal/task"
)

// Namespace is an open network namespace. It exists until Close even when all of its processes end.
type Namespace struct {
	handle netns.NsHandle
	inode  uint64
}

// Inode returns the inode of the network namespace at a path such as /proc/<pid>/ns/net. It identifies the namespace.
func Inode(path string) (uint64, error) {
	var stat unix.Stat_t

	if err := unix.Stat(path, &stat); err != nil {
		return 0, fmt.Errorf("failed to stat network namespace %s: %w", path, &os.PathError{Op: "stat", Path: path, Err: err})
	}

	return stat.Ino, nil
}

// Open opens the network namespace at a path such as /proc/<pid>/ns/net.
func Open(path string) (*Namespace, error) {
	handle, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("failed to open network namespace %s: %w", path, err)
	}

	var stat unix.Stat_t

	if err := unix.Fstat(int(handle), &stat); err != nil {
		handle.Close() //nolint:errcheck // the first error is returned

		return nil, fmt.Errorf("failed to stat network namespace %s: %w", path, err)
	}

	return &Namespace{handle: handle, inode: stat.Ino}, nil
}

// Inode returns the inode of the namespace.
func (n *Namespace) Inode() uint64 { return n.inode }

// Close closes the namespace. The caller closes its Links separately.
func (n *Namespace) Close() { n.handle.Close() } //nolint:errcheck // only a reference

// Dial connects from inside of the namespace, so that 127.0.0.1 is the namespace's own and no network policy applies. The
// address must be an IP address: names would be resolved outside of the namespace.
func (n *Namespace) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var (
		conn net.Conn
		err  error
	)

	err = onThread(func() error {
		// A socket belongs to the namespace of the thread that creates it.
		if err := netns.Set(n.handle); err != nil {
			return fmt.Errorf("failed to enter the network namespace: %w", err)
		}

		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)

		return err
	})

	return conn, err
}

// onThread runs do on a thread that ends with it: Go's runtime ends a thread whose goroutine returns while it is locked to
// it. The main thread never ends, and /proc/<pid> shows its namespace as that of the process. When the goroutine runs on the
// main thread, it holds that thread and starts another one.
func onThread(do func() error) error {
	done := make(chan error, 1)

	go task.Do("run on a thread", func() {
		runtime.LockOSThread()

		if unix.Gettid() == unix.Getpid() {
			done <- onThread(do)

			runtime.UnlockOSThread()

			return
		}

		done <- task.Step("connect in a network namespace", do)
	})

	return <-done
}
