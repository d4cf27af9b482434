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

// timeout bounds one question to the kernel, so that a tick never hangs on it.
var timeout = unix.Timeval{Sec: 1}

// Counters are cumulative since the links came up.
type Counters struct {
	TXBytes, RXBytes     uint64
	TXPackets, RXPackets uint64
	TXDropped, RXDropped uint64
}

// Links counts on all links of a network namespace but loopback, over a netlink socket it keeps open.
//
// It asks with RTM_GETSTATS for the counters alone. The usual RTM_GETLINK answers with everything
// about a link, several kilobytes for each, of which all but 64 bytes would be thrown away at each
// sample. The library has no call for it; sockets and constants are the library's.
type Links struct {
	socket  *nl.NetlinkSocket
	fd      int
	request [requestSize]byte
	buf     [32 << 10]byte
}

// order is the kernel's byte order.
var order = binary.NativeEndian

// Sizes and places in messages of the kernel (include/uapi/linux/netlink.h, if_link.h, rtnetlink.h).
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
		return nil, fmt.Errorf("error opening a netlink socket: %w", err)
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

		return nil, fmt.Errorf("error setting the netlink time-out: %w", err)
	}

	order.PutUint32(l.request[0:], requestSize)
	order.PutUint16(l.request[4:], rtmGetStats)
	order.PutUint16(l.request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	order.PutUint32(l.request[headerSize+8:], statsLink64Mask)

	return l, nil
}

// Close closes the socket.
func (l *Links) Close() { l.socket.Close() }

// errInterrupted says that links came or went while they were listed.
var errInterrupted = errors.New("interrupted")

// Counters sums up the 64-bit counters of all links but loopback. After an error the socket should be
// closed: a late answer may still be in it.
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
		return Counters{}, fmt.Errorf("error reading link counters: %w", err)
	}

	return sum, nil
}

func (l *Links) dump() (Counters, error) {
	sequence := order.Uint32(l.request[8:]) + 1
	order.PutUint32(l.request[8:], sequence)

	if _, err := unix.Write(l.fd, l.request[:]); err != nil {
		return Counters{}, fmt.Errorf("error asking: %w", err)
	}

	var (
		sum         Counters
		interrupted bool
	)

	for {
		n, err := unix.Read(l.fd, l.buf[:])
		if err != nil {
			return Counters{}, fmt.Errorf("error receiving: %w", err)
		}

		done, err := sum.addMessages(l.buf[:n], sequence)

		if err != nil && !errors.Is(err, errInterrupted) {
			return Counters{}, err
		}

		// The rest must be fetched nevertheless, before the kernel takes another question.
		interrupted = interrupted || err != nil

		if done && interrupted {
			return Counters{}, errInterrupted
		}

		if done {
			return sum, nil
		}
	}
}

// addMessages adds what a datagram of answers says. It tells whether that was the last.
func (c *Counters) addMessages(data []byte, sequence uint32) (done bool, err error) {
	var interrupted error

	for len(data) >= headerSize {
		length := int(order.Uint32(data))
		if length < headerSize || length > len(data) {
			return false, fmt.Errorf("%w: a message of %d bytes in %d", errMalformed, length, len(data))
		}

		message := data[:length]
		data = data[min(nlmAlign(length), len(data)):]

		if order.Uint32(message[8:]) != sequence {
			continue
		}

		if order.Uint16(message[6:])&unix.NLM_F_DUMP_INTR != 0 {
			interrupted = errInterrupted
		}

		switch order.Uint16(message[4:]) {
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

	if order.Uint32(body[4:]) == loopback {
		return nil
	}

	for attrs := body[ifStatsSize:]; len(attrs) >= unix.SizeofRtAttr; {
		length := int(order.Uint16(attrs))
		if length < unix.SizeofRtAttr || length > len(attrs) {
			return errMalformed
		}

		value := attrs[unix.SizeofRtAttr:length]

		if order.Uint16(attrs[2:]) == statsLink64 {
			if len(value) < stats64Least {
				return errMalformed
			}

			c.RXPackets += order.Uint64(value[0:])
			c.TXPackets += order.Uint64(value[8:])
			c.RXBytes += order.Uint64(value[16:])
			c.TXBytes += order.Uint64(value[24:])
			c.RXDropped += order.Uint64(value[48:])
			c.TXDropped += order.Uint64(value[56:])
		}

		attrs = attrs[min(nlmAlign(length), len(attrs)):]
	}

	return nil
}

func kernelError(body []byte) error {
	if len(body) < 4 {
		return errMalformed
	}

	return unix.Errno(-int32(order.Uint32(body)))
}

// nlmAlign rounds up to the four bytes that messages and attributes are aligned to.
func nlmAlign(length int) int { return (length + 3) &^ 3 }
