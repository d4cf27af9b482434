// SPDX-License-Identifier: MPL-2.0

//go:build linux

package netns_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/netns"
	"github.com/spegel-guard/spegel-guard/test/kernel"
)

// TestLinks_CountersOfAnotherNamespace sends a known number of bytes from inside a namespace and reads
// them from outside of it.
func TestLinks_CountersOfAnotherNamespace(t *testing.T) {
	kernel.Require(t)

	// The namespace belongs to this thread, which is thrown away with the test's goroutine.
	runtime.LockOSThread()

	home, err := vns.Get()
	require.NoError(t, err)

	inside, err := vns.New()
	require.NoError(t, err)

	path := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())

	require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "peer0"}))

	for name, addr := range map[string]string{"eth0": "10.9.0.1/24", "peer0": "", "lo": ""} {
		link, err := netlink.LinkByName(name)
		require.NoError(t, err)
		require.NoError(t, netlink.LinkSetUp(link))

		if addr != "" {
			parsed, err := netlink.ParseAddr(addr)
			require.NoError(t, err)
			require.NoError(t, netlink.AddrAdd(link, parsed))
		}
	}

	// No one answers ARP on the peer: tell the address.
	mac, err := net.ParseMAC("02:00:00:00:00:02")
	require.NoError(t, err)

	eth0, err := netlink.LinkByName("eth0")
	require.NoError(t, err)
	require.NoError(t, netlink.NeighAdd(&netlink.Neigh{
		LinkIndex: eth0.Attrs().Index, IP: net.ParseIP("10.9.0.2"), HardwareAddr: mac, State: netlink.NUD_PERMANENT,
	}))

	namespace, err := netns.Open(path)
	require.NoError(t, err)

	defer namespace.Close()

	links, err := namespace.Links()
	require.NoError(t, err)

	defer links.Close()

	handle, err := netlink.NewHandleAt(inside, unix.NETLINK_ROUTE)
	require.NoError(t, err)

	defer handle.Close()

	before, err := links.Counters()
	require.NoError(t, err)

	conn, err := net.Dial("udp", "10.9.0.2:9")
	require.NoError(t, err)

	const packets, payload, headers = 1000, 1000, 42

	for range packets {
		_, err := conn.Write(make([]byte, payload))
		require.NoError(t, err)
	}

	loop, err := net.Dial("udp", "127.0.0.1:9")
	require.NoError(t, err)
	loop.Write(make([]byte, 50_000))

	require.NoError(t, vns.Set(home))
	inside.Close()

	var after netns.Counters

	// The other end takes in what was sent a while later.
	require.Eventually(t, func() bool {
		after, err = links.Counters()

		return err != nil || after.RXBytes-before.RXBytes >= packets*(payload+headers)
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, err)

	// Both ends of the pair are in the namespace: what one sends the other receives.
	sent := after.TXBytes - before.TXBytes
	assert.InDelta(t, packets*(payload+headers), sent, 0.02*packets*payload)
	assert.InDelta(t, packets, after.TXPackets-before.TXPackets, 0.02*packets)

	// The library reads the same, unless a packet of IPv6's own passes in between.
	assert.Eventually(t, func() bool {
		listed, err := handle.LinkList()
		require.NoError(t, err)

		var want netns.Counters

		for _, link := range listed {
			if s := link.Attrs().Statistics; link.Attrs().Flags&net.FlagLoopback == 0 {
				want.TXBytes, want.RXBytes = want.TXBytes+s.TxBytes, want.RXBytes+s.RxBytes
				want.TXPackets, want.RXPackets = want.TXPackets+s.TxPackets, want.RXPackets+s.RxPackets
				want.TXDropped, want.RXDropped = want.TXDropped+s.TxDropped, want.RXDropped+s.RxDropped
			}
		}

		after, err = links.Counters()
		require.NoError(t, err)

		return want == after
	}, time.Minute, 10*time.Millisecond)

	assert.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := links.Counters(); err != nil {
			t.Fatal(err)
		}
	}))

	own, err := netns.Inode("/proc/self/ns/net")
	require.NoError(t, err)
	assert.NotEqual(t, own, namespace.Inode())
}

// TestNamespace_DialsInside reaches a listener that is bound to another namespace's loopback, and only from inside.
func TestNamespace_DialsInside(t *testing.T) {
	kernel.Require(t)
	runtime.LockOSThread()

	home, err := vns.Get()
	require.NoError(t, err)

	_, err = vns.New()
	require.NoError(t, err)

	lo, err := netlink.LinkByName("lo")
	require.NoError(t, err)
	require.NoError(t, netlink.LinkSetUp(lo))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)

	defer listener.Close()

	namespace, err := netns.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	require.NoError(t, err)

	defer namespace.Close()

	require.NoError(t, vns.Set(home))

	address := listener.Addr().String()

	conn, err := namespace.Dial(t.Context(), "tcp", address)
	require.NoError(t, err)
	conn.Close()

	_, err = net.Dial("tcp", address)
	assert.ErrorIs(t, err, unix.ECONNREFUSED)
}

// TestNamespace_DialKeepsNamespaceOfProcess: whichever thread the runtime takes for going into the namespace, what the kernel
// shows of the process as a whole is not changed by it.
func TestNamespace_DialKeepsNamespaceOfProcess(t *testing.T) {
	kernel.Require(t)

	made := make(chan *netns.Namespace)

	go func() {
		runtime.LockOSThread()

		home, err := vns.Get()
		if err == nil {
			_, err = vns.New()
		}

		namespace, openErr := netns.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))

		if errors.Join(err, openErr, vns.Set(home)) == nil {
			made <- namespace
		}

		close(made)
		runtime.UnlockOSThread()
	}()

	namespace := <-made
	require.NotNil(t, namespace)

	defer namespace.Close()

	before, err := netns.Inode("/proc/self/ns/net")
	require.NoError(t, err)

	var group sync.WaitGroup

	for range 500 {
		group.Go(func() {
			_, err := namespace.Dial(t.Context(), "tcp", "127.0.0.1:1")
			assert.Error(t, err, "nothing listens there")
		})
	}

	group.Wait()

	after, err := netns.Inode("/proc/self/ns/net")
	require.NoError(t, err)
	assert.Equal(t, before, after)
}

func TestOpen_NoSuchNamespace(t *testing.T) {
	_, err := netns.Open("/proc/0/ns/net")
	assert.ErrorIs(t, err, os.ErrNotExist)
}
