// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/resources/secrets"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	guardnetns "github.com/spegel-guard/spegel-guard/pkg/netns"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/test/machined"
	"github.com/spegel-guard/spegel-guard/test/node"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// machinedSocket is the path of machined's socket on Talos.
const machinedSocket = "/system/run/machined/machine.sock"

// Addresses of the node and of an operator's machine on a network of their own.
const (
	nodeAddress     = "192.168.77.1"
	operatorAddress = "192.168.77.2"
)

// startMachined starts the fake machined with API certificates of a CA.
func startMachined(t *testing.T, authority *pki.PKI) *machined.Machined {
	t.Helper()

	testNode(t) // mounts /system, which would hide the socket

	require.NoError(t, os.MkdirAll(filepath.Dir(machinedSocket), 0o755))

	m, err := machined.New(t.Context(), machinedSocket, &secrets.API{})
	require.NoError(t, err)

	certificates, err := authority.TalosAPI(true, nil, "127.0.0.1", nodeAddress)
	require.NoError(t, err)
	require.NoError(t, m.State.Create(t.Context(), certificates))

	require.NoError(t, m.Start())
	t.Cleanup(m.Stop)

	return m
}

// operatorsNetwork creates a network namespace with a link to the node's, and returns a function that dials from it.
func operatorsNetwork(t *testing.T) func(ctx context.Context, address string) (net.Conn, error) {
	t.Helper()

	namespace := make(chan netns.NsHandle)

	// A new namespace belongs to a thread. This thread ends with its goroutine.
	go func() {
		runtime.LockOSThread()

		handle, err := netns.New()
		if err != nil {
			handle = netns.None()
		}

		namespace <- handle
	}()

	handle := <-namespace
	require.True(t, handle.IsOpen())
	t.Cleanup(func() { handle.Close() })

	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "operator0"}, PeerName: "operator1", PeerNamespace: netlink.NsFd(handle)}
	require.NoError(t, netlink.LinkAdd(pair))
	t.Cleanup(func() { netlink.LinkDel(pair) })

	inside, err := netlink.NewHandleAt(handle, unix.NETLINK_ROUTE)
	require.NoError(t, err)
	t.Cleanup(inside.Close)

	far, err := inside.LinkByName("operator1")
	require.NoError(t, err)

	address := func(text string) *netlink.Addr {
		parsed, err := netlink.ParseAddr(text + "/24")
		require.NoError(t, err)

		return parsed
	}

	require.NoError(t, netlink.AddrAdd(pair, address(nodeAddress)))
	require.NoError(t, netlink.LinkSetUp(pair))
	require.NoError(t, inside.AddrAdd(far, address(operatorAddress)))
	require.NoError(t, inside.LinkSetUp(far))

	inNamespace, err := guardnetns.Open(fmt.Sprintf("/proc/self/fd/%d", handle))
	require.NoError(t, err)
	t.Cleanup(inNamespace.Close)

	return func(ctx context.Context, address string) (net.Conn, error) {
		return inNamespace.Dial(ctx, "tcp4", address)
	}
}

// TestAPI_ServesOperatorOnAnotherNetwork: an operator on another machine uses a talosconfig. The guard presents the node's
// certificates and reports the ceiling of a real container.
func TestAPI_ServesOperatorOnAnotherNetwork(t *testing.T) {
	authority, err := pki.New()
	require.NoError(t, err)

	dial := operatorsNetwork(t)
	m := startMachined(t, authority)

	l := newLoopWith(t, nil, func(l *loop) (*node.Guard, error) {
		m.Set(slices.Concat(containers(l.spegel), containers(l.peer))...)

		return l.node.StartTalosGuard(t.Context(), fast, authority)
	})

	pair, err := authority.Client("anna", time.Hour, role.Operator)
	require.NoError(t, err)

	c, err := client.New(t.Context(), client.WithConfigContext(pki.Context(pair, nodeAddress+":50321", authority)),
		client.WithGRPCDialOptions(grpc.WithContextDialer(dial)))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	// talosctl -e 192.168.77.1:50321 -n 192.168.77.1 get spegel
	ctx := client.WithNode(t.Context(), nodeAddress)

	require.EventuallyWithT(t, func(t *assert.CollectT) {
		status, err := safe.StateGetByID[*resources.GuardStatus](ctx, c.COSI, resources.GuardStatusID)
		require.NoError(t, err)
		assert.Equal(t, resources.StateThrottled, status.TypedSpec().State)
		assert.Equal(t, "500m", status.TypedSpec().Ceiling)
	}, patience, 500*time.Millisecond)

	ceiling, err := safe.StateGetByID[*resources.CeilingStatus](t.Context(), c.COSI, workloadID)
	require.NoError(t, err)
	assert.Equal(t, ceiling500, ceiling.TypedSpec().ReadBack)
	assert.Equal(t, unlimited, ceiling.TypedSpec().OwnerLimit)

	desired, err := safe.StateGetByID[*resources.DesiredCeiling](t.Context(), c.COSI, workloadID)
	require.NoError(t, err)
	assert.NotEmpty(t, desired.TypedSpec().Blockers)

	// An override has the address of the client.
	released, err := guardv1alpha1.NewGuardServiceClient(c.Conn()).Release(t.Context(), &guardv1alpha1.ReleaseRequest{For: durationpb.New(patience)})
	require.NoError(t, err)
	assert.Contains(t, released.GetMessages()[0].GetOverrides()[0].GetBy().GetFrom(), operatorAddress+":")
	waitCPUMax(t, l, l.spegel, unlimited, patience)

	// After a change of the node's certificates the old ones are refused, by the guard: this client accepts both servers.
	next, err := pki.New()
	require.NoError(t, err)

	trusting, err := client.New(t.Context(), client.WithConfigContext(pki.Context(pair, nodeAddress+":50321", authority, next)),
		client.WithGRPCDialOptions(grpc.WithContextDialer(dial)))
	require.NoError(t, err)
	t.Cleanup(func() { trusting.Close() })

	certificates, err := next.TalosAPI(true, nil, "127.0.0.1", nodeAddress)
	require.NoError(t, err)

	_, err = safe.StateUpdateWithConflicts(t.Context(), m.State, certificates.Metadata(), func(r *secrets.API) error {
		*r.TypedSpec() = *certificates.TypedSpec()

		return nil
	})
	require.NoError(t, err)

	require.Eventually(t, func() bool {
		_, err := c.Version(t.Context())

		return err != nil
	}, patience, 100*time.Millisecond, "the connection is not closed")

	require.EventuallyWithT(t, func(collect *assert.CollectT) {
		_, err := trusting.Version(t.Context())
		assert.ErrorContains(collect, err, "tls:")
	}, patience, 100*time.Millisecond, "the old CA is still accepted")

	pair, err = next.Client("anna", time.Hour, role.Reader)
	require.NoError(t, err)

	c, err = client.New(t.Context(), client.WithConfigContext(pki.Context(pair, nodeAddress+":50321", next)),
		client.WithGRPCDialOptions(grpc.WithContextDialer(dial)))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })

	require.EventuallyWithT(t, func(collect *assert.CollectT) {
		_, err := c.Version(t.Context())
		assert.NoError(collect, err)
	}, patience, 100*time.Millisecond, "the new CA is not accepted")
	assert.NotContains(t, l.guard.Log.String(), "PRIVATE KEY")
}
