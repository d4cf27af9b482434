//go:build linux

package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
)

func txRate(t *testing.T, pod *node.Pod, over time.Duration) float64 {
	t.Helper()

	before, start := txBytes(t, pod), time.Now()

	time.Sleep(over)

	return float64(txBytes(t, pod)-before) / time.Since(start).Seconds()
}

// ceilingStatus asks the guard for the only target's ceiling.
func ceilingStatus(t *testing.T, guard *node.Guard) resources.CeilingStatusSpec {
	t.Helper()

	ceilings, err := safe.StateListAll[*resources.CeilingStatus](t.Context(), guard.Client.COSI)
	require.NoError(t, err)
	require.Equal(t, 1, ceilings.Len())

	ceiling := ceilings.Get(0)

	return *ceiling.TypedSpec()
}

// crashAndRestart kills the guard and starts it again with the same document, as machined does.
func (l *loop) crashAndRestart(t *testing.T) {
	t.Helper()

	require.NoError(t, l.guard.Signal(t.Context(), syscall.SIGKILL))

	code, err := l.guard.Wait(t.Context())
	require.NoError(t, err)
	require.NotZero(t, code)

	guard, err := l.node.StartGuard(t.Context(), l.guard.Document)
	require.NoError(t, err)

	*l.guard = *guard
}
