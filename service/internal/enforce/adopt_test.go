// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
)

func TestAdopt(t *testing.T) {
	other := journal(time.Hour)
	other.BootID = "another boot"

	with := func(change func(*cgroup.Journal)) cgroup.Journal {
		j := journal(time.Hour)
		change(&j)

		return j
	}

	for _, test := range []struct {
		name    string
		max     string
		journal cgroup.Journal
		observe bool
		fail    string

		held, changed bool
		actions       []string
		left          string
	}{
		{name: "hold not over", max: "50001 100000", journal: journal(time.Hour), held: true, actions: []string{"adopt: an earlier process applied it and its hold is not over"}, left: "50001 100000"},
		{name: "hold over", max: "50001 100000", journal: journal(-time.Second), actions: []string{"release: an earlier process left it"}, left: enforcetest.Unlimited},
		{name: "another boot", max: "50001 100000", journal: other, actions: []string{"release: an earlier process left it"}, left: enforcetest.Unlimited},
		{
			name: "hold from the future", max: "50001 100000", journal: with(func(j *cgroup.Journal) { j.Since, j.HoldUntil = j.HoldUntil, j.HoldUntil+time.Hour }),
			actions: []string{"release: an earlier process left it"}, left: enforcetest.Unlimited,
		},
		{
			name: "hold from before the boot", max: "50001 100000", journal: with(func(j *cgroup.Journal) { j.Since = -1 }),
			actions: []string{"release: an earlier process left it"}, left: enforcetest.Unlimited,
		},
		{
			name: "hold of more than a day", max: "50001 100000", journal: with(func(j *cgroup.Journal) { j.HoldUntil = boottime.Now() + 25*time.Hour }),
			actions: []string{"release: an earlier process left it"}, left: enforcetest.Unlimited,
		},
		{
			name: "impossible ceiling", max: "50001 100000", journal: with(func(j *cgroup.Journal) { j.Applied, j.Previous = "1000 1000000", j.Applied }),
			actions: []string{"release: an earlier process left it"}, left: enforcetest.Unlimited,
		},
		{name: "mode observe", max: "50001 100000", journal: journal(time.Hour), observe: true, actions: []string{"release: an earlier process left it"}, left: enforcetest.Unlimited},
		{name: "never written", max: enforcetest.Unlimited, journal: journal(time.Hour), held: true, actions: []string{"release: an earlier process left it"}, left: enforcetest.Unlimited},
		{
			name: "changed meanwhile", max: "80000 100000", journal: journal(time.Hour), held: true, changed: true,
			actions: []string{"external-change: cpu.max was changed externally while no guard ran: it is the owner's limit now", "release: an earlier process left it"}, left: "80000 100000",
		},
		{name: "cannot be restored", max: "50001 100000", journal: journal(-time.Second), fail: "Restore", actions: []string{"fail: an earlier process left it"}, left: "50001 100000"},
		{name: "cannot be read", max: "50001 100000", journal: journal(time.Hour), fail: "ReadCPUMax", left: "50001 100000"},
		{name: "journal cannot be read", max: "50001 100000", journal: journal(time.Hour), fail: "ReadJournal", left: "50001 100000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			node := enforcetest.NewNode()
			c := node.Create(memoryPath, test.max, memoryInode)
			c.SetJournal(test.journal)

			if test.fail != "" {
				c.Fail(test.fail, enforcetest.ErrBroken)
			}

			adopted, err := enforce.Adopt(node.Enforce(), test.observe, zap.NewNop())
			assert.Equal(t, test.fail != "", err != nil, "%v", err)
			assert.Equal(t, test.actions, kinds(adopted.Actions))
			assert.Equal(t, test.left, c.CPUMax())
			assert.Equal(t, test.held, adopted.Holds[memoryTarget].Rule != "")
			assert.Equal(t, test.changed, adopted.Changed[memoryTarget] != 0)
		})
	}

	t.Run("no hierarchy", func(t *testing.T) {
		node := enforcetest.NewNode().Enforce()
		node.Find = func() ([]string, error) { return nil, fmt.Errorf("/sys/fs/cgroup: %w", cgroup.ErrNotUnified) }

		_, err := enforce.Adopt(node, false, zap.NewNop())
		require.ErrorIs(t, err, cgroup.ErrNotUnified)

		node.Find = func() ([]string, error) { return nil, enforcetest.ErrBroken }
		_, err = enforce.Adopt(node, false, zap.NewNop())
		require.ErrorIs(t, err, enforcetest.ErrBroken)
		_, err = enforce.RestoreAll(node)
		require.ErrorIs(t, err, enforcetest.ErrBroken)
	})
}

// adopted is the orphaned ceiling of an earlier process.
func adopted(t *testing.T, m *machine, holdLeft time.Duration) *enforce.Ceiling {
	t.Helper()

	m.cgroup.SetJournal(journal(holdLeft))
	m.cgroup.Write("50001 100000")

	left, err := enforce.Adopt(m.node.Enforce(), false, zap.NewNop())
	require.NoError(t, err)
	require.Contains(t, left.Ceilings, memoryPath)

	return left.Ceilings[memoryPath]
}

func TestCeiling_ContinuesAnOrphan(t *testing.T) {
	m := newMachine(t, enforcetest.Unlimited)
	m.ceiling.Adopt(adopted(t, m, time.Hour))
	assert.True(t, m.ceiling.Status().Adopted)

	// The desired ceiling is not published yet.
	assert.Empty(t, m.ceiling.Reconcile(nil, boottime.Now()+time.Second))
	assert.True(t, m.ceiling.InForce())

	m.none("", "the probe measured no breach")
	assert.Equal(t, []string{"release: the probe measured no breach"}, m.step())

	t.Run("and releases it when nothing is desired in time", func(t *testing.T) {
		m := newMachine(t, enforcetest.Unlimited)
		m.ceiling.Adopt(adopted(t, m, time.Hour))
		assert.Equal(t, []string{"release: no ceiling is desired"}, kinds(m.ceiling.Reconcile(nil, boottime.Now()+2*time.Minute)))
	})

	t.Run("and names its target in the journal", func(t *testing.T) {
		m := newMachine(t, enforcetest.Unlimited)
		target := m.target()
		target.ID = "spegel/spegel-2/registry"
		created := enforce.New(m.node.Enforce(), target)
		created.Adopt(adopted(t, m, time.Hour))

		assert.Empty(t, created.Reconcile(&m.desired, m.now))
		assert.Equal(t, target.ID, m.cgroup.Journal().Target, "the next start continues the hold of this target")
	})

	t.Run("of the same cgroup only", func(t *testing.T) {
		m := newMachine(t, enforcetest.Unlimited)
		orphan := adopted(t, m, time.Hour)
		target := m.target()
		target.CgroupInode++

		created := enforce.New(m.node.Enforce(), target)
		created.Adopt(orphan)
		assert.False(t, created.InForce())
	})
}

// TestCeiling_CompletesAWrite: a crash during a step down from 500m to 375m leaves either in force, and the journal names both. The desired
// ceiling is in force after the start, and the status has what the kernel has.
func TestCeiling_CompletesAWrite(t *testing.T) {
	const before, after = "50001 100000", "37501 100000"

	for name, test := range map[string]struct {
		max     string
		desired int64
		floor   int64
		actions []string
		want    string
	}{
		"not written":                             {max: before, desired: 375, actions: []string{"adjust: cpu 1803m"}, want: after},
		"written":                                 {max: after, desired: 375, want: after},
		"not written, doubled by the kernel":      {max: "100002 200000", desired: 375, actions: []string{"adjust: cpu 1803m"}, want: after},
		"written, doubled by the kernel":          {max: "75002 200000", desired: 375, want: after},
		"not written, other step":                 {max: before, desired: 281, actions: []string{"adjust: cpu 1803m"}, want: "28101 100000"},
		"written, other step":                     {max: after, desired: 281, actions: []string{"adjust: cpu 1803m"}, want: "28101 100000"},
		"not written, no step":                    {max: before, desired: 500, want: before},
		"not written, and below the floor of now": {max: before, desired: 375, floor: 500, want: before},
		"written, no step":                        {max: after, desired: 500, actions: []string{"adjust: cpu 1803m"}, want: before},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, enforcetest.Unlimited)

			j := journal(time.Hour)
			j.Previous, j.Applied = before, after
			m.cgroup.SetJournal(j)
			m.cgroup.Write(test.max)

			left, err := enforce.Adopt(m.node.Enforce(), false, zap.NewNop())
			require.NoError(t, err)
			assert.Equal(t, int64(375), left.Holds[memoryTarget].Millicores, "the newest decision")

			m.ceiling.Adopt(left.Ceilings[memoryPath])
			assert.Equal(t, test.max, m.ceiling.Status().ReadBack)

			m.desired.Millicores, m.desired.FloorMillicores = test.desired, test.floor
			first := m.step()
			assert.Contains(t, []string{test.max, test.want}, m.cgroup.CPUMax(), "no third value")
			assert.Equal(t, test.actions, append(first, m.step()...))
			assert.Empty(t, m.step())
			assert.Equal(t, test.want, m.cgroup.CPUMax())
			assert.Equal(t, test.want, m.cgroup.Journal().Applied)
			assert.Empty(t, m.cgroup.Journal().Previous)
			assert.Equal(t, test.want, m.ceiling.Status().ReadBack)
		})
	}
}

func TestCeiling_ExpiresAnOrphan(t *testing.T) {
	m := newMachine(t, enforcetest.Unlimited)
	orphan := adopted(t, m, time.Hour)

	assert.Empty(t, orphan.Expire(boottime.Now()))
	assert.Equal(t, []string{"release: its target was not found again"}, kinds(orphan.Expire(boottime.Now()+2*time.Minute)))
	assert.Empty(t, orphan.Expire(boottime.Now()+time.Hour))
	assert.Equal(t, enforcetest.Unlimited, m.cgroup.CPUMax())
}

// TestJournalsBesideCgroupsThatCannotBeSearched are adopted, released and restored.
func TestJournalsBesideCgroupsThatCannotBeSearched(t *testing.T) {
	for name, test := range map[string]struct {
		holdLeft time.Duration
		restore  bool
		want     string
	}{
		"hold not over": {holdLeft: time.Hour, want: "50001 100000"},
		"hold over":     {holdLeft: -time.Second, want: enforcetest.Unlimited},
		"restore":       {holdLeft: time.Hour, restore: true, want: enforcetest.Unlimited},
	} {
		t.Run(name, func(t *testing.T) {
			memory := enforcetest.NewNode()
			c := memory.Create(memoryPath, "50001 100000", memoryInode)
			c.SetJournal(journal(test.holdLeft))

			node := enforcetest.Incomplete(memory.Enforce(), enforcetest.ErrBroken)

			var err error

			if test.restore {
				_, err = enforce.RestoreAll(node)
			} else {
				_, err = enforce.Adopt(node, false, zap.NewNop())
			}

			require.ErrorIs(t, err, enforcetest.ErrBroken)
			assert.Equal(t, test.want, c.CPUMax())
		})
	}
}

func TestRestoreAll(t *testing.T) {
	node := enforcetest.NewNode()
	good, bad, broken := node.Create("a", "50001 100000", 1), node.Create("b", "50001 100000", 2), node.Create("c", "50001 100000", 3)
	node.Create("without", enforcetest.Unlimited, 4)

	for _, c := range []*enforcetest.Cgroup{good, bad, broken} {
		c.SetJournal(journal(time.Hour))
	}

	bad.Fail("ReadJournal", cgroup.ErrBadJournal)
	broken.Fail("Restore", enforcetest.ErrBroken)

	all, err := enforce.RestoreAll(node.Enforce())
	require.NoError(t, err)

	byPath := map[string]enforce.Restored{}
	for _, one := range all {
		byPath[one.Cgroup] = one
	}

	assert.Equal(t, enforce.Restored{Cgroup: "a", Target: memoryTarget, Before: "50001 100000", After: enforcetest.Unlimited}, byPath["a"])
	require.ErrorIs(t, byPath["b"].Err, cgroup.ErrBadJournal)
	require.ErrorIs(t, byPath["c"].Err, enforcetest.ErrBroken)
	assert.Len(t, all, 3)
}
