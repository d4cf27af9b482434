// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// outage is how long the container runtime is away: much longer than any wait for it.
const outage = 75 * time.Second

// TestGuard_EnforcesDuringOutage stops the container runtime. Meanwhile the system's clock is set forward and
// back, the pod loses its network interface with the counters, and the container's process is killed.
func TestGuard_EnforcesDuringOutage(t *testing.T) {
	n := testNode(t)
	l := &loop{
		node: n, spegel: runPod(t, n, node.SpegelPod("spegel-outage")),
		peer: runPod(t, n, node.PodSpec{Name: "bystander", Namespace: "default", Container: "app"}),
	}

	p := startProcess(t)
	p.waitState(t, resources.StateOK)

	becomes := func(want string) {
		t.Helper()
		require.Eventually(t, func() bool { return cpuMax(t, l.spegel) == want }, patience, 50*time.Millisecond, "%s\n%s", want, p.log)
	}

	require.NoError(t, n.StopContainerd())

	began := time.Now() // monotonic: the test sets the wall clock

	// A jump of the clock is no breach.
	for _, by := range []time.Duration{24 * time.Hour, -48 * time.Hour, 24 * time.Hour} {
		setClock(t, by)
		time.Sleep(tripsAfter)
	}

	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
	assert.NotContains(t, p.log.String(), "ceiling requested", "a rule tripped without a breach")

	// A breach in between: the hold has its full length, which is longer than the other conditions of a release take.
	const long = 30 * time.Second

	p.configure(t, strings.Replace(fast, "hold: 5s", "hold: 30s", 1))
	require.Eventually(t, func() bool { return strings.Count(p.log.String(), "configuration in force") > 1 }, patience, 50*time.Millisecond, "%s", p.log)

	start := time.Now()

	l.runAway(t, l.spegel, l.peer)
	becomes(ceiling500)

	setClock(t, 24*time.Hour)
	l.calm(t, l.spegel)
	setClock(t, -48*time.Hour)
	becomes(unlimited)
	assert.GreaterOrEqual(t, time.Since(start), tripsAfter+long, "the clock has shortened the hold")
	setClock(t, 24*time.Hour)

	trips := strings.Count(p.log.String(), "ceiling requested")

	// The interface and its counters are gone.
	removeLink(t, l.spegel.PID)
	time.Sleep(2 * tripsAfter)
	assert.Equal(t, trips, strings.Count(p.log.String(), "ceiling requested"), "a rule tripped without a breach\n%s", p.log)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))

	// The container's process and its network namespace end while the runtime cannot be asked.
	require.NoError(t, syscall.Kill(l.spegel.PID, syscall.SIGKILL))
	p.waitState(t, resources.StateNoCRI)

	time.Sleep(outage - time.Since(began))

	require.NoError(t, n.StartContainerd(context.Background()))
	p.waitState(t, resources.StateNoTarget)

	l.spegel = runPod(t, n, node.SpegelPod("spegel-after"))
	p.waitState(t, resources.StateOK)
	l.runAway(t, l.spegel, l.peer)
	becomes(ceiling500)
	l.calm(t, l.spegel)
	becomes(unlimited)
	noJournals(t)
}

// setClock adds a duration to the system's clock.
func setClock(t *testing.T, by time.Duration) {
	t.Helper()

	tv := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
	require.NoError(t, unix.Settimeofday(&tv))
}

// removeLink deletes the pod's network interface, as a network plugin may do when it restarts.
func removeLink(t *testing.T, pid int) {
	t.Helper()

	ns, err := netns.GetFromPid(pid)
	require.NoError(t, err)

	defer ns.Close()

	handle, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	require.NoError(t, err)

	defer handle.Close()

	link, err := handle.LinkByName("eth0")
	require.NoError(t, err)
	require.NoError(t, handle.LinkDel(link))
}
