//go:build linux

// Package netns reads link counters inside a network namespace.
package netns

import (
	"fmt"
	"net"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// timeout bounds one question to the kernel, so that a tick never hangs on it.
const timeout = time.Second

// Counters are bytes since the links came up.
type Counters struct {
	TXBytes, RXBytes uint64
}

// Links counts on all links of a network namespace but loopback, over a netlink socket it keeps open.
type Links struct {
	handle *netlink.Handle
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

// Open opens a netlink socket inside the network namespace behind a path such as /proc/<pid>/ns/net.
//
// The socket stays in that namespace and keeps it alive until Close.
func Open(path string) (*Links, error) {
	inode, err := Inode(path)
	if err != nil {
		return nil, err
	}

	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("error opening network namespace %s: %w", path, err)
	}

	defer ns.Close() //nolint:errcheck // the socket holds what it needs

	handle, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("error opening a netlink socket in %s: %w", path, err)
	}

	if err := handle.SetSocketTimeout(timeout); err != nil {
		handle.Close()

		return nil, fmt.Errorf("error setting the netlink time-out: %w", err)
	}

	return &Links{handle: handle, inode: inode}, nil
}

// Inode of the namespace.
func (l *Links) Inode() uint64 { return l.inode }

// Close closes the socket.
func (l *Links) Close() { l.handle.Close() }

// Counters sums up the 64-bit counters (IFLA_STATS64) of all links but loopback.
func (l *Links) Counters() (Counters, error) {
	links, err := l.handle.LinkList()
	if err != nil {
		return Counters{}, fmt.Errorf("error listing links: %w", err)
	}

	var sum Counters

	for _, link := range links {
		attrs := link.Attrs()

		if attrs.Flags&net.FlagLoopback != 0 || attrs.Statistics == nil {
			continue
		}

		sum.TXBytes += attrs.Statistics.TxBytes
		sum.RXBytes += attrs.Statistics.RxBytes
	}

	return sum, nil
}
