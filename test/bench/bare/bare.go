// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package bare makes the system calls of a sample and parses nothing except the end of the netlink answer. The guard is
// compared with it.
package bare

import (
	"encoding/binary"
	"errors"
	"path/filepath"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/netns"
)

// Files are the files of a cgroup that the guard reads at each sample.
var Files = []string{"cpu.stat", "cpu.pressure", "memory.current", "memory.peak", "memory.events", "pids.current"}

// Reader makes the system calls of a sample.
type Reader struct {
	files   []int
	socket  *nl.NetlinkSocket
	request []byte
	buf     [32 << 10]byte
}

// New returns a reader of a cgroup's files, of those that exist, and of the network interfaces of a namespace.
func New(dir string, namespace *netns.Namespace) (*Reader, error) {
	b := &Reader{request: make([]byte, unix.SizeofNlMsghdr+12)}

	for _, name := range Files {
		fd, err := unix.Open(filepath.Join(dir, name), unix.O_RDONLY, 0)
		if errors.Is(err, unix.ENOENT) {
			continue // a hierarchy without the controller
		}

		if err != nil {
			return nil, err
		}

		b.files = append(b.files, fd)
	}

	socket, err := namespace.Socket()
	if err != nil {
		return nil, err
	}

	b.socket = socket

	const getStats, link64 = 94, 1

	binary.NativeEndian.PutUint32(b.request, uint32(len(b.request)))
	binary.NativeEndian.PutUint16(b.request[4:], getStats)
	binary.NativeEndian.PutUint16(b.request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	binary.NativeEndian.PutUint32(b.request[unix.SizeofNlMsghdr+8:], link64)

	return b, nil
}

// Read takes one sample.
func (b *Reader) Read() error {
	for _, fd := range b.files {
		if _, err := unix.Pread(fd, b.buf[:4096], 0); err != nil {
			return err
		}
	}

	if _, err := unix.Write(b.socket.GetFd(), b.request); err != nil {
		return err
	}

	// A round trip ends with NLMSG_DONE, which may come with the rest.
	for {
		n, err := unix.Read(b.socket.GetFd(), b.buf[:])
		if err != nil {
			return err
		}

		for at := 0; at+unix.SizeofNlMsghdr <= n; at += int(binary.NativeEndian.Uint32(b.buf[at:])) {
			if binary.NativeEndian.Uint16(b.buf[at+4:]) == unix.NLMSG_DONE {
				return nil
			}
		}
	}
}
