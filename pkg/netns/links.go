// SPDX-License-Identifier: MPL-2.0

//go:build linux

package netns

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// timeout of one request to the kernel, so that no sample hangs.
var timeout = unix.Timeval{Sec: 1}

// Links reads the counters of all links of a network namespace except loopback, over a netlink socket it keeps open.
//
// RTM_GETSTATS returns the counters only. RTM_GETLINK would return several kilobytes for each link, of which 64 bytes are
// used. The netlink library has no call for RTM_GETSTATS; its sockets and constants are used.
type Links struct {
	socket  *nl.NetlinkSocket
	fd      int
	request [requestSize]byte
	buf     [32 << 10]byte
}

// native is the byte order of netlink messages.
var native = binary.NativeEndian

// Sizes and offsets in messages of the kernel (include/uapi/linux/netlink.h, if_link.h, rtnetlink.h).
const (
	rtmNewStats = 92
	rtmGetStats = 94
	// statsLink64 is IFLA_STATS_LINK_64, and its bit in the filter mask.
	statsLink64, statsLink64Mask = 1, 1

	headerSize   = unix.SizeofNlMsghdr
	ifStatsSize  = 12 // struct if_stats_msg: family, pad, pad, ifindex, filter_mask
	requestSize  = headerSize + ifStatsSize
	stats64Least = 8 * 8 // struct rtnl_link_stats64 up to tx_dropped

	// loopback is LOOPBACK_IFINDEX: the kernel gives it to the first link of every namespace.
	loopback = 1
)

// Socket opens a netlink socket (rtnetlink(7)) inside the namespace.
func (n *Namespace) Socket() (*nl.NetlinkSocket, error) {
	socket, err := nl.GetNetlinkSocketAt(n.handle, netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("failed to open a netlink socket: %w", err)
	}

	return socket, nil
}

// Links opens a netlink socket inside the namespace. The socket keeps the namespace alive until Close.
func (n *Namespace) Links() (*Links, error) {
	socket, err := n.Socket()
	if err != nil {
		return nil, err
	}

	l := &Links{socket: socket, fd: socket.GetFd()}

	if err := errors.Join(socket.SetSendTimeout(&timeout), socket.SetReceiveTimeout(&timeout)); err != nil {
		l.Close()

		return nil, fmt.Errorf("failed to set the netlink timeout: %w", err)
	}

	native.PutUint32(l.request[0:], requestSize)
	native.PutUint16(l.request[4:], rtmGetStats)
	native.PutUint16(l.request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	native.PutUint32(l.request[headerSize+8:], statsLink64Mask)

	return l, nil
}

// Close closes the socket.
func (l *Links) Close() { l.socket.Close() }

// errInterrupted: links were added or removed during the dump.
var errInterrupted = errors.New("interrupted")

// Counters returns the sums of the 64-bit counters of all links except loopback. After an error the caller closes the
// socket: a late answer may still be in it.
func (l *Links) Counters() (Counters, error) {
	const attempts = 3

	var (
		sum Counters
		err error
	)

	for range attempts {
		if sum, err = l.dump(); err == nil || !errors.Is(err, errInterrupted) {
			break
		}
	}

	if err != nil {
		return Counters{}, fmt.Errorf("failed to read link counters: %w", err)
	}

	return sum, nil
}

func (l *Links) dump() (Counters, error) {
	sequence := native.Uint32(l.request[8:]) + 1
	native.PutUint32(l.request[8:], sequence)

	if _, err := unix.Write(l.fd, l.request[:]); err != nil {
		return Counters{}, fmt.Errorf("failed to send the request: %w", err)
	}

	var (
		sum         Counters
		interrupted bool
	)

	for {
		n, err := unix.Read(l.fd, l.buf[:])
		if err != nil {
			return Counters{}, fmt.Errorf("failed to receive the answer: %w", err)
		}

		done, err := sum.addMessages(l.buf[:n], sequence)

		if err != nil && !errors.Is(err, errInterrupted) {
			return Counters{}, err
		}

		// The kernel accepts no other request before the rest of the dump was read.
		interrupted = interrupted || err != nil

		if done && interrupted {
			return Counters{}, errInterrupted
		}

		if done {
			return sum, nil
		}
	}
}

// addMessages adds the counters of a datagram. done reports that it was the last one.
func (c *Counters) addMessages(data []byte, sequence uint32) (done bool, err error) {
	var interrupted error

	for len(data) >= headerSize {
		length := int(native.Uint32(data))
		if length < headerSize || length > len(data) {
			return false, fmt.Errorf("%w: a message of %d bytes in %d", errMalformed, length, len(data))
		}

		message := data[:length]
		data = data[min(nlmAlign(length), len(data)):]

		if native.Uint32(message[8:]) != sequence {
			continue
		}

		if native.Uint16(message[6:])&unix.NLM_F_DUMP_INTR != 0 {
			interrupted = errInterrupted
		}

		switch native.Uint16(message[4:]) {
		case unix.NLMSG_DONE:
			return true, interrupted
		case unix.NLMSG_ERROR:
			return true, kernelError(message[headerSize:])
		case rtmNewStats:
			if err := c.addLink(message[headerSize:]); err != nil {
				return false, err
			}
		}
	}

	return false, interrupted
}

var errMalformed = errors.New("malformed netlink message")

// addLink adds one link's counters.
func (c *Counters) addLink(body []byte) error {
	if len(body) < ifStatsSize {
		return errMalformed
	}

	if native.Uint32(body[4:]) == loopback {
		return nil
	}

	for attrs := body[ifStatsSize:]; len(attrs) >= unix.SizeofRtAttr; {
		length := int(native.Uint16(attrs))
		if length < unix.SizeofRtAttr || length > len(attrs) {
			return errMalformed
		}

		value := attrs[unix.SizeofRtAttr:length]

		if native.Uint16(attrs[2:]) == statsLink64 {
			if len(value) < stats64Least {
				return errMalformed
			}

			c.RXPackets += native.Uint64(value[0:])
			c.TXPackets += native.Uint64(value[8:])
			c.RXBytes += native.Uint64(value[16:])
			c.TXBytes += native.Uint64(value[24:])
			c.RXDropped += native.Uint64(value[48:])
			c.TXDropped += native.Uint64(value[56:])
		}

		attrs = attrs[min(nlmAlign(length), len(attrs)):]
	}

	return nil
}

func kernelError(body []byte) error {
	if len(body) < 4 {
		return errMalformed
	}

	return unix.Errno(-int32(native.Uint32(body)))
}

// nlmAlign rounds up to the alignment of messages and attributes, four bytes.
func nlmAlign(length int) int { return (length + 3) &^ 3 }
