// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// counted has kernel counters of a pod.
type counted struct {
	// usage is CPU time in microseconds. periods counts the periods of cpu.max, throttled those in which the quota was
	// used up, and stopped is the time in microseconds in which they were, of all processors together. tx is bytes.
	usage, periods, throttled, stopped, tx uint64
}

func count(t *testing.T, pod *node.Pod) counted {
	t.Helper()

	stat, err := node.CPUStats(pod.Cgroup)
	require.NoError(t, err)

	tx, err := pod.TXBytes()
	require.NoError(t, err)

	return counted{
		usage: stat["usage_usec"], periods: stat["nr_periods"], throttled: stat["nr_throttled"], stopped: stat["throttled_usec"], tx: tx,
	}
}

// since returns the difference to an earlier count.
func (c counted) since(before counted) counted {
	return counted{
		usage: c.usage - before.usage, periods: c.periods - before.periods, throttled: c.throttled - before.throttled,
		stopped: c.stopped - before.stopped, tx: c.tx - before.tx,
	}
}

// heldSince returns when the hold of newLoop's spegel began, as CLOCK_BOOTTIME. A ceiling that is applied again after a
// restart has the same start; a new trip has another.
func heldSince(t *testing.T, l *loop) time.Duration {
	t.Helper()

	var since time.Duration

	require.Eventually(t, func() bool {
		spec, err := safe.StateGetByID[*resources.DesiredCeiling](t.Context(), l.guard.Client.COSI, workloadID)
		if err != nil || spec.TypedSpec().None() {
			return false
		}

		since = spec.TypedSpec().SinceClock

		return true
	}, patience, 100*time.Millisecond, "no ceiling is desired\n%s", l.guard.Log)

	return since
}

// workloadID is the id of newLoop's spegel.
const workloadID = "spegel/spegel-x7k2p/registry"

// waitCeiling waits until the ceiling of the only target has a state and an owner's limit. The guard publishes a write
// after it, so the kernel may show it earlier.
func waitCeiling(t *testing.T, guard *node.Guard, state, ownerLimit string) resources.CeilingStatusSpec {
	t.Helper()

	var spec resources.CeilingStatusSpec

	require.Eventually(t, func() bool {
		ceilings, err := safe.StateListAll[*resources.CeilingStatus](t.Context(), guard.Client.COSI)
		if err != nil || ceilings.Len() != 1 {
			return false
		}

		spec = *ceilings.Get(0).TypedSpec()

		return spec.State == state && spec.OwnerLimit == ownerLimit
	}, patience, 100*time.Millisecond, "expected state %s with owner's limit %q\n%s", state, ownerLimit, guard.Log)

	return spec
}

// crashAndRestart kills the guard and starts it again with the same document, as machined does.
func (l *loop) crashAndRestart(t *testing.T) {
	t.Helper()

	require.NoError(t, l.guard.Signal(t.Context(), syscall.SIGKILL))

	code, err := l.guard.Wait(t.Context())
	require.NoError(t, err)
	require.NotZero(t, code)

	l.start(t, l.guard.Document)
}

// start replaces the guard, which has ended, by a new one.
func (l *loop) start(t *testing.T, document string) {
	t.Helper()

	guard, err := l.node.StartGuard(t.Context(), document)
	require.NoError(t, err)

	*l.guard = *guard
}

// waitLogged waits until a log contains a text. The guard and the container runtime write a log after what it is about.
func waitLogged(t *testing.T, log fmt.Stringer, text string) {
	t.Helper()

	require.Eventually(t, func() bool { return strings.Contains(log.String(), text) }, patience, 20*time.Millisecond, "expected %q in\n%s", text, log)
}

// noPanic fails the test if a controller panicked. The controller runtime restarts such a controller, so most other
// assertions would still hold.
func noPanic(t *testing.T, log fmt.Stringer) {
	t.Helper()

	if strings.Contains(log.String(), "panicked") {
		t.Error("a controller panicked")
	}
}
