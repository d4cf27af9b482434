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

// measure reads a pod's cores and bytes sent per second from the kernel, not by the guard's way.
func measure(t *testing.T, pod *node.Pod, over time.Duration) (cores, tx float64) {
	t.Helper()

	before, err := pod.TXBytes()
	require.NoError(t, err)

	start := time.Now()

	cores, err = node.Usage(pod.Cgroup, over)
	require.NoError(t, err)

	after, err := pod.TXBytes()
	require.NoError(t, err)

	return cores, float64(after-before) / time.Since(start).Seconds()
}

// waitCeiling waits until the only target's ceiling is in the given state with the given owner's value.
// The guard publishes what it did after it did it, so the kernel may show it a moment earlier.
func waitCeiling(t *testing.T, guard *node.Guard, state, original string) resources.CeilingStatusSpec {
	t.Helper()

	var spec resources.CeilingStatusSpec

	require.Eventually(t, func() bool {
		ceilings, err := safe.StateListAll[*resources.CeilingStatus](t.Context(), guard.Client.COSI)
		if err != nil || ceilings.Len() != 1 {
			return false
		}

		spec = *ceilings.Get(0).TypedSpec()

		return spec.State == state && spec.Original == original
	}, patience, 100*time.Millisecond, "wanted %s over %q\n%s", state, original, guard.Log)

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

// start puts a new guard in the place of one that has ended.
func (l *loop) start(t *testing.T, document string) {
	t.Helper()

	guard, err := l.node.StartGuard(t.Context(), document)
	require.NoError(t, err)

	*l.guard = *guard
}

// noPanic: the controller runtime starts a controller that panicked again, and most of what is asserted
// from outside would go on to hold.
func noPanic(t *testing.T, log fmt.Stringer) {
	t.Helper()

	if strings.Contains(log.String(), "panicked") {
		t.Error("a controller panicked")
	}
}
