// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
)

const (
	memoryPath   = "kubepods/pod1/c1"
	memoryInode  = 7
	memoryTarget = "spegel/spegel-1/registry"
)

// machine is a ceiling over a cgroup in memory.
type machine struct {
	t       *testing.T
	node    *enforcetest.Node
	cgroup  *enforcetest.Cgroup
	ceiling *enforce.Ceiling
	now     time.Duration
	// desired is 500m for an hour until a test changes it.
	desired decide.DesiredCeiling
}

func newMachine(t *testing.T, owner string) *machine {
	t.Helper()

	m := &machine{t: t, node: enforcetest.NewNode(), now: boottime.Now()}
	m.cgroup = m.node.Create(memoryPath, owner, memoryInode)
	m.ceiling = enforce.New(m.node.Enforce(), m.target())
	m.desired = decide.DesiredCeiling{
		Millicores: 500, FloorMillicores: 100, Rule: "SpegelHighCPU", Reason: "cpu 1803m", Since: m.now, Until: m.now + time.Hour,
	}

	return m
}

func (*machine) target() enforce.Target {
	return enforce.Target{ID: memoryTarget, ContainerID: "c1", PID: 1, Cgroup: memoryPath, CgroupInode: memoryInode}
}

// step reconciles a second later and returns the kinds and reasons of the actions.
func (m *machine) step() []string { return m.after(time.Second) }

func (m *machine) after(passed time.Duration) []string {
	m.now += passed

	return kinds(m.ceiling.Reconcile(&m.desired, m.now))
}

// none withdraws the desired ceiling for a reason.
func (m *machine) none(rule, reason string) {
	m.desired = decide.DesiredCeiling{Rule: rule, Reason: reason}
}

func kinds(actions []enforce.Action) []string {
	var texts []string

	for _, action := range actions {
		texts = append(texts, action.Kind+": "+action.Reason)
	}

	return texts
}

// journal is one of an earlier process of this boot whose hold lasts for a while.
func journal(holdLeft time.Duration) cgroup.Journal {
	return cgroup.Journal{
		Target: memoryTarget, Rule: "SpegelHighCPU", OwnerLimit: enforcetest.Unlimited, Applied: "50001 100000",
		Since: max(1, boottime.Now()-time.Minute), HoldUntil: boottime.Now() + holdLeft, BootID: "boot",
	}
}

func TestCeiling_AppliesAndReleases(t *testing.T) {
	for owner, want := range map[string]string{
		enforcetest.Unlimited: "50001 100000", "200000 100000": "50001 100000", "max 20000": "10001 20000",
	} {
		t.Run(owner, func(t *testing.T) {
			m := newMachine(t, owner)

			assert.Equal(t, []string{"apply: cpu 1803m"}, m.step())
			assert.Equal(t, want, m.cgroup.CPUMax())
			assert.Empty(t, m.step(), "in force already")

			status := m.ceiling.Status()
			assert.Equal(t, enforce.StateApplied, status.State)
			assert.Equal(t, owner, status.OwnerLimit)
			assert.Equal(t, want, status.ReadBack)
			assert.Equal(t, m.desired.Since, status.Since)
			assert.True(t, m.ceiling.InForce())

			m.none("", "every rule was quiet")
			assert.Equal(t, []string{"release: every rule was quiet"}, m.step())
			assert.Equal(t, owner, m.cgroup.CPUMax())
			assert.Nil(t, m.cgroup.Journal())
			assert.Empty(t, m.ceiling.Status().State)
		})
	}
}

func TestCeiling_AdjustsToAnotherDesiredCeiling(t *testing.T) {
	m := newMachine(t, enforcetest.Unlimited)
	m.step()

	m.desired.Millicores = 300
	assert.Equal(t, []string{"adjust: cpu 1803m"}, m.step())
	assert.Equal(t, "30001 100000", m.cgroup.CPUMax())

	// Another hold with the same ceiling changes the journal alone.
	m.desired.Since, m.desired.Until = m.desired.Since+1, m.desired.Until+1
	assert.Empty(t, m.step())
	assert.Equal(t, m.desired.Until, m.cgroup.Journal().HoldUntil)
	assert.Equal(t, m.desired.Until, m.ceiling.Status().Until)

	m.desired.Millicores = 10
	m.step()
	assert.Equal(t, "10001 100000", m.cgroup.CPUMax(), "never below the floor")
}

func TestCeiling_LeavesALowerLimitOfTheOwner(t *testing.T) {
	m := newMachine(t, "30000 100000")

	assert.Empty(t, m.step())
	assert.Equal(t, "30000 100000", m.cgroup.CPUMax())
	assert.Equal(t, enforce.StateOwnerLower, m.ceiling.Status().State)
	assert.False(t, m.ceiling.InForce())

	// A lower ceiling is applied, and released when the desired one rises to the owner's limit.
	m.desired.Millicores = 200
	assert.Equal(t, []string{"apply: cpu 1803m"}, m.step())

	m.desired.Millicores = 400
	assert.Equal(t, []string{"release: the owner's limit is as low"}, m.step())
	assert.Equal(t, enforce.StateOwnerLower, m.ceiling.Status().State)
	assert.Equal(t, "30000 100000", m.cgroup.CPUMax())
}

func TestCeiling_Observes(t *testing.T) {
	m := newMachine(t, enforcetest.Unlimited)
	m.desired.Observe = true

	assert.Equal(t, []string{"would-apply: cpu 1803m"}, m.step())
	assert.Empty(t, m.step(), "reported once")
	assert.Equal(t, enforcetest.Unlimited, m.cgroup.CPUMax())
	assert.Equal(t, enforce.StateObserved, m.ceiling.Status().State)

	m.desired.Observe = false
	m.step()

	m.desired.Observe = true
	assert.Equal(t, []string{"release: mode is observe", "would-apply: cpu 1803m"}, m.step())
	assert.Equal(t, enforcetest.Unlimited, m.cgroup.CPUMax())
}

func TestCeiling_ObservesWhatCannotBeControlled(t *testing.T) {
	for _, cause := range []error{cgroup.ErrFrozen, cgroup.ErrThreaded, cgroup.ErrNoController, unix.EROFS} {
		t.Run(cause.Error(), func(t *testing.T) {
			m := newMachine(t, enforcetest.Unlimited)
			m.cgroup.Fail("Controllable", cause)

			assert.Equal(t, []string{"would-apply: cpu 1803m"}, m.step())
			assert.Empty(t, m.step())
			require.ErrorIs(t, m.ceiling.Err(), cause)
			assert.Len(t, m.node.Failures, 1)

			m.cgroup.Fail("Controllable", nil)
			assert.Equal(t, []string{"apply: cpu 1803m"}, m.step())
			assert.NoError(t, m.ceiling.Err())
		})
	}
}

func TestCeiling_Probes(t *testing.T) {
	m := newMachine(t, enforcetest.Unlimited)
	m.step()

	m.desired.Probing = true
	assert.Equal(t, []string{"probe: the hold is over: the demand is measured without the ceiling"}, m.step())
	assert.Equal(t, enforcetest.Unlimited, m.cgroup.CPUMax())
	assert.Empty(t, m.step())

	m.desired.Probing = false
	assert.Equal(t, []string{"apply: cpu 1803m"}, m.step())
}

func TestCeiling_ReassertsAfterAnExternalChange(t *testing.T) {
	m := newMachine(t, enforcetest.Unlimited)
	m.step()
	m.cgroup.Write("80000 100000")

	assert.Equal(t, []string{"external-change: cpu.max was changed externally: it is the owner's limit now; the lower one is applied again"}, m.step())
	assert.Equal(t, enforce.StateYielded, m.ceiling.Status().State)
	assert.Equal(t, uint64(1), m.ceiling.Status().ExternalChanges)
	assert.Empty(t, m.after(100*time.Millisecond), "the back-off lasts a second")
	assert.Equal(t, []string{"apply: cpu 1803m"}, m.step())

	m.none("", "")
	assert.Equal(t, []string{"release: no ceiling is desired"}, m.step())
	assert.Equal(t, "80000 100000", m.cgroup.CPUMax(), "the external change is what a release restores")
}

func TestCeiling_YieldsToAnExternalChange(t *testing.T) {
	m := newMachine(t, enforcetest.Unlimited)
	m.desired.Yield = true
	m.step()
	m.cgroup.Write("80000 100000")

	assert.Len(t, m.step(), 1)
	assert.Empty(t, m.after(time.Minute))
	assert.Equal(t, "80000 100000", m.cgroup.CPUMax())
	assert.Equal(t, enforce.StateYielded, m.ceiling.Status().State)

	// The next hold is another matter.
	m.desired.Since++
	assert.Equal(t, []string{"apply: cpu 1803m"}, m.after(time.Minute))

	t.Run("after a restart", func(t *testing.T) {
		m := newMachine(t, "80000 100000")
		m.desired.Yield, m.desired.YieldedSince = true, m.desired.Since

		assert.Empty(t, m.step())
		assert.Equal(t, "80000 100000", m.ceiling.Status().OwnerLimit)
	})
}

func TestCeiling_TakesAChangeBetweenReadAndWriteForTheOwners(t *testing.T) {
	m := newMachine(t, enforcetest.Unlimited)
	m.cgroup.OnApply(func() { m.cgroup.Write("60000 100000") })

	assert.Len(t, m.step(), 1)
	assert.Equal(t, "60000 100000", m.cgroup.CPUMax())

	m.after(time.Minute)
	assert.Equal(t, "50001 100000", m.cgroup.CPUMax())

	m.desired.Millicores = 300
	m.cgroup.OnApply(func() { m.cgroup.Write("40000 100000") })
	assert.Len(t, m.step(), 1)
	assert.Equal(t, "40000 100000", m.cgroup.CPUMax())
}

func TestCeiling_ReleasesATerminatingContainer(t *testing.T) {
	m := newMachine(t, enforcetest.Unlimited)
	m.step()
	m.node.End()

	assert.Equal(t, []string{"release: the container terminates"}, m.step())
	assert.Equal(t, enforce.StateTerminating, m.ceiling.Status().State)
	assert.Empty(t, m.step())
	assert.Equal(t, enforcetest.Unlimited, m.cgroup.CPUMax())
}

func TestCeiling_EndsWithItsCgroup(t *testing.T) {
	m := newMachine(t, enforcetest.Unlimited)
	m.step()
	m.node.Remove(memoryPath)

	actions := m.ceiling.Reconcile(&m.desired, m.now+time.Second)
	require.Equal(t, []string{"release: the container's cgroup is gone"}, kinds(actions))
	assert.Equal(t, []string{"SpegelHighCPU", "50001 100000", ""}, []string{actions[0].Rule, actions[0].Before, actions[0].After})
	assert.False(t, m.ceiling.InForce())
	require.NoError(t, m.ceiling.Err())
	assert.Empty(t, m.node.Failures)
	assert.Empty(t, m.step(), "it ends once")

	t.Run("in a release", func(t *testing.T) {
		m := newMachine(t, enforcetest.Unlimited)
		m.step()
		m.node.Remove(memoryPath)
		m.none("", "every rule was quiet")
		assert.Equal(t, []string{"release: the container's cgroup is gone"}, m.step())
	})

	t.Run("without a ceiling", func(t *testing.T) {
		m := newMachine(t, enforcetest.Unlimited)
		m.node.Remove(memoryPath)
		assert.Empty(t, m.step())
	})
}

func TestCeiling_WritesToItsOwnCgroupOnly(t *testing.T) {
	m := newMachine(t, enforcetest.Unlimited)
	other := m.node.Create(memoryPath, enforcetest.Unlimited, memoryInode+1)
	m.ceiling = enforce.New(m.node.Enforce(), m.target())

	assert.Empty(t, m.step())
	assert.Equal(t, enforcetest.Unlimited, other.CPUMax())
	require.ErrorContains(t, m.ceiling.Err(), "belongs to another container now")

	m.node.Remove(memoryPath)
	m.ceiling = enforce.New(m.node.Enforce(), m.target())
	require.ErrorIs(t, m.ceiling.Err(), cgroup.ErrGone)

	// It is opened as soon as it can be.
	m.node.Create(memoryPath, enforcetest.Unlimited, memoryInode)
	assert.Equal(t, []string{"apply: cpu 1803m"}, m.step())
	assert.Equal(t, m.target(), m.ceiling.Target())
}

func TestCeiling_ChecksACgroupWithoutACeiling(t *testing.T) {
	m := newMachine(t, enforcetest.Unlimited)
	m.none("", "")
	m.step()

	m.cgroup.Fail("Controllable", unix.EROFS)
	m.after(time.Second)
	require.NoError(t, m.ceiling.Err(), "not checked yet")
	m.after(enforce.CheckInterval)
	require.ErrorIs(t, m.ceiling.Err(), unix.EROFS)

	m.cgroup.Fail("Controllable", cgroup.ErrGone)
	m.after(enforce.CheckInterval)
	require.NoError(t, m.ceiling.Err(), "the target is about to go")

	// A ceiling that nobody desires, whoever left it.
	m.cgroup.SetJournal(journal(time.Hour))
	m.cgroup.Write("50001 100000")
	m.after(enforce.CheckInterval)
	m.after(time.Second)
	assert.Equal(t, enforcetest.Unlimited, m.cgroup.CPUMax())
}

func TestCeiling_AdoptsWhatItFindsInForce(t *testing.T) {
	m := newMachine(t, "50001 100000")
	m.cgroup.SetJournal(journal(time.Hour))

	assert.Empty(t, m.step())
	assert.True(t, m.ceiling.Status().Adopted)
	assert.Equal(t, enforcetest.Unlimited, m.ceiling.Status().OwnerLimit)

	t.Run("a journal without its ceiling", func(t *testing.T) {
		m := newMachine(t, "80000 100000")
		m.cgroup.SetJournal(journal(time.Hour))
		assert.Equal(t, []string{"apply: cpu 1803m"}, m.step())
		assert.Equal(t, "80000 100000", m.ceiling.Status().OwnerLimit)
	})

	t.Run("a journal that cannot be read", func(t *testing.T) {
		m := newMachine(t, "80000 100000")
		m.cgroup.Fail("ReadJournal", cgroup.ErrBadJournal)
		assert.Equal(t, []string{"fail: cpu 1803m"}, m.step())
		assert.Equal(t, "80000 100000", m.cgroup.CPUMax(), "it may be a ceiling")
		require.ErrorContains(t, m.ceiling.Err(), "remove the xattr trusted.spegelguard")
	})
}
