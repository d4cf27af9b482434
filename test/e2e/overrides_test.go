// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"os"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

const ceiling200 = "20001 100000"

// operator returns a client of GuardService with the role os:operator.
func (l *loop) operator(t *testing.T) guardv1alpha1.GuardServiceClient {
	t.Helper()

	c, err := l.guard.NewClient(t.Context(), l.guard.PKI, role.Operator)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })

	return guardv1alpha1.NewGuardServiceClient(c.Conn())
}

// TestOverrides_ChangeRealCgroup: overrides change cpu.max for their time, survive restarts of the guard and are
// recorded.
func TestOverrides_ChangeRealCgroup(t *testing.T) {
	l := newLoop(t, fast, nil)
	ctx := t.Context()
	long := durationpb.New(10 * time.Minute)

	_, err := l.guard.WaitState(ctx, patience, resources.StateOK)
	require.NoError(t, err)

	// Throttle applies a ceiling without a rule.
	_, err = l.operator(t).Throttle(ctx, &guardv1alpha1.ThrottleRequest{CeilingMillicores: 200, For: long, Reason: "NAS is slow"})
	require.NoError(t, err)
	waitCPUMax(t, l, l.spegel, ceiling200, patience)

	status, err := l.guard.WaitState(ctx, patience, resources.StateThrottled)
	require.NoError(t, err)
	assert.Equal(t, resources.RuleOverride, status.Rule)
	assert.Contains(t, status.Message, "NAS is slow")
	assert.Equal(t, unlimited, cpuMax(t, l.peer), "cpu.max of the bystander")

	// The override survives a crash, and so does the owner's limit.
	l.crashAndRestart(t)

	_, err = l.guard.WaitState(ctx, patience, resources.StateThrottled)
	require.NoError(t, err)
	require.Equal(t, ceiling200, cpuMax(t, l.spegel))
	waitCeiling(t, l.guard, resources.CeilingApplied, unlimited)

	_, err = l.operator(t).Resume(ctx, &guardv1alpha1.ResumeRequest{})
	require.NoError(t, err)
	waitCPUMax(t, l, l.spegel, unlimited, patience)

	// An override ends after its time.
	applied := make(chan state.Event, 1024)
	require.NoError(t, l.guard.Client.COSI.WatchKind(ctx, resources.NewCeilingStatus("").Metadata(), applied))

	_, err = l.operator(t).Throttle(ctx, &guardv1alpha1.ThrottleRequest{CeilingMillicores: 200, For: durationpb.New(15 * time.Second)})
	require.NoError(t, err)
	waitEvent(t, applied, func(r resource.Resource) bool { return r.(*resources.CeilingStatus).TypedSpec().ReadBack == ceiling200 })
	waitCPUMax(t, l, l.spegel, unlimited, patience)
	noJournals(t)

	// Release ends the ceiling of a rule. No rule applies one during the override.
	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	_, err = l.operator(t).Release(ctx, &guardv1alpha1.ReleaseRequest{For: long, Reason: "maintenance"})
	require.NoError(t, err)
	waitCPUMax(t, l, l.spegel, unlimited, patience)

	time.Sleep(2 * tripsAfter)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel), "cpu.max during the release")

	_, err = l.operator(t).Resume(ctx, &guardv1alpha1.ResumeRequest{})
	require.NoError(t, err)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	// Pause applies to the node and survives a crash.
	_, err = l.operator(t).Pause(ctx, &guardv1alpha1.PauseRequest{For: long})
	require.NoError(t, err)
	waitCPUMax(t, l, l.spegel, unlimited, patience)

	l.crashAndRestart(t)

	_, err = l.guard.WaitState(ctx, patience, resources.StatePaused)
	require.NoError(t, err)

	time.Sleep(2 * tripsAfter)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel), "cpu.max during the pause")
	noJournals(t)

	// A workload that uses all processors may answer too late on a slow machine: within 3 s.
	var evidence *guardv1alpha1.Evidence

	operator := l.operator(t)

	require.EventuallyWithT(t, func(t *assert.CollectT) {
		captured, err := operator.Capture(ctx, &guardv1alpha1.CaptureRequest{})
		require.NoError(t, err)

		evidence = captured.GetMessages()[0].GetEvidence()[0]
		assert.Empty(t, evidence.GetError())
	}, patience, 100*time.Millisecond)
	assert.FileExists(t, evidence.GetPath()+"/metrics.txt")

	_, err = l.operator(t).Resume(ctx, &guardv1alpha1.ResumeRequest{Target: resources.OverridePauseID})
	require.NoError(t, err)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	checkRecord(t, l)
}

// checkRecord checks the actions since the last start: who gave the override, and from where.
func checkRecord(t *testing.T, l *loop) {
	t.Helper()

	list, err := safe.StateListAll[*resources.GuardAction](t.Context(), l.guard.Client.COSI)
	require.NoError(t, err)

	byPerson := map[string]resources.GuardActionSpec{}

	for action := range list.All() {
		if spec := action.TypedSpec(); !spec.By.IsZero() {
			byPerson[spec.Action] = *spec
		}
	}

	for _, kind := range []string{resources.ActionCapture, resources.ActionResume} {
		require.Contains(t, byPerson, kind)
		assert.Contains(t, byPerson[kind].By.Subject, "O=os:operator")
		assert.Len(t, byPerson[kind].By.Fingerprint, 64)
		assert.Contains(t, byPerson[kind].By.From, "127.0.0.1:")
	}

	info, err := os.Stat(byPerson[resources.ActionCapture].Evidence)
	require.NoError(t, err)
	assert.True(t, info.IsDir())
}
