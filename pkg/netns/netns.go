// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package netns looks into a network namespace: its links' counters, and what listens inside it.
package netns

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is an open network namespace. It stays alive until Close, whatever becomes of its processes.
type Namespace struct {
	handle netns.NsHandle
	inode  uint64
}

// Inode identifies the network namespace behind a path such as /proc/<pid>/ns/net.
func Inode(path string) (uint64, error) {
	var stat unix.Stat_t

	if err := unix.Stat(path, &stat); err != nil {
		return 0, fmt.Errorf("error looking at network namespace %s: %w", path, &os.PathError{Op: "stat", Path: path, Err: err})
	}

	return stat.Ino, nil
}

// Open opens the network namespace behind a path such as /proc/<pid>/ns/net.
func Open(path string) (*Namespace, error) {
	handle, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("error opening network namespace %s: %w", path, err)
	}

	var stat unix.Stat_t

	if err := unix.Fstat(int(handle), &stat); err != nil {
		handle.Close() //nolint:errcheck // the other error counts

		return nil, fmt.Errorf("error looking at network namespace %s: %w", path, err)
	}

	return &Namespace{handle: handle, inode: stat.Ino}, nil
}

// Inode of the namespace.
func (n *Namespace) Inode() uint64 { return n.inode }

// Close lets go of the namespace. Its Links have to be closed on their own.
func (n *Namespace) Close() { n.handle.Close() } //nolint:errcheck // only a reference

// Dial connects from inside the namespace: to 127.0.0.1 that is what listens there, past every network
// policy and without a route to it. The address must be literal, because names are looked up elsewhere.
func (n *Namespace) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var (
		conn net.Conn
		err  error
	)

	throwaway(func() {
		// A socket belongs to the namespace its thread was in when it was made.
		if err = netns.Set(n.handle); err != nil {
			err = fmt.Errorf("error entering the network namespace: %w", err)

			return
		}

		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
	})

	return conn, err
}

// throwaway does something on a thread of its own, on which nothing runs afterwards: one that is locked when
// its goroutine ends is ended by Go's runtime. All but the main thread, which stays as it is for ever, and with
// it what /proc/<pid> shows of the process. So that one is held, and leaves it to another.
func throwaway(do func()) {
	done := make(chan struct{})

	go func() {
		defer close(done)

		runtime.LockOSThread()

		if unix.Gettid() == unix.Getpid() {
			throwaway(do)
			runtime.UnlockOSThread()

			return
		}

		do()
	}()

	<-done
}
