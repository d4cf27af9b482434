// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce_test

import (
	"errors"
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

// lockFunc is a lock that a test can take away.
type lockFunc func() error

func (l lockFunc) Acquire() error { return l() }

// TestOrphans_LaterSearchKeepsTheMode: in mode observe a ceiling is released, whenever it is found.
func TestOrphans_LaterSearchKeepsTheMode(t *testing.T) {
	for name, test := range map[string]struct {
		observe bool
		want    string
	}{
		"enforce": {false, "50001 100000"},
		"observe": {true, enforcetest.Unlimited},
	} {
		t.Run(name, func(t *testing.T) {
			memory := enforcetest.NewNode()
			c := memory.Create(memoryPath, "50001 100000", memoryInode)
			c.SetJournal(journal(time.Hour))

			locked := enforcetest.ErrBroken
			o := enforce.NewOrphans(memory.Enforce(), lockFunc(func() error { return locked }), zap.NewNop())
			assert.Empty(t, o.Adopt(test.observe).Holds)

			locked = nil
			o.Check(boottime.Now() + time.Minute)
			require.NoError(t, o.Err())
			assert.Equal(t, test.want, c.CPUMax())
		})
	}
}

// TestOrphans_AdoptUntilComplete: what keeps a start from adopting a ceiling does not keep it in force for good.
func TestOrphans_AdoptUntilComplete(t *testing.T) {
	noHierarchy := fmt.Errorf("/sys/fs/cgroup: %w", cgroup.ErrNotUnified)

	for name, test := range map[string]struct {
		lock, search, journal error
		// silent: it is reported elsewhere.
		silent bool
	}{
		"lock":                         {lock: enforcetest.ErrBroken},
		"hierarchy that appears later": {lock: noHierarchy, silent: true},
		"search":                       {search: enforcetest.ErrBroken},
		"journal":                      {journal: cgroup.ErrBadJournal},
	} {
		t.Run(name, func(t *testing.T) {
			memory := enforcetest.NewNode()
			c := memory.Create(memoryPath, "50001 100000", memoryInode)
			c.SetJournal(journal(-time.Second))
			c.Fail("ReadJournal", test.journal)

			node := memory.Enforce()
			find := node.Find
			node.Find = func() ([]string, error) {
				if test.search != nil {
					return nil, test.search
				}

				return find()
			}

			o := enforce.NewOrphans(node, lockFunc(func() error { return test.lock }), zap.NewNop())
			assert.Empty(t, o.Adopt(false).Holds)
			require.Equal(t, !test.silent, errors.Is(o.Err(), enforce.ErrNotAdopted), "%v", o.Err())

			now := boottime.Now()
			wait, ok := o.Check(now)
			assert.True(t, ok)
			assert.Equal(t, "50001 100000", c.CPUMax())

			test.lock, test.search = nil, nil
			c.Fail("ReadJournal", nil)
			o.Check(now + wait/2)
			assert.Equal(t, "50001 100000", c.CPUMax(), "the next search is not due")

			_, ok = o.Check(now + wait + time.Second)
			assert.False(t, ok, "there is nothing left to do")
			require.NoError(t, o.Err())
			assert.Equal(t, enforcetest.Unlimited, c.CPUMax())
			assert.Equal(t, []string{"release: an earlier process left it"}, kinds(o.Actions()))
			assert.Empty(t, o.Actions())
		})
	}
}

// TestOrphans_LeaveAttachedCgroupsAlone: a search that is repeated finds the journals of this process, too.
func TestOrphans_LeaveAttachedCgroupsAlone(t *testing.T) {
	m := newMachine(t, enforcetest.Unlimited)
	o := enforce.NewOrphans(incompleteSearch(m.node), lockFunc(func() error { return nil }), zap.NewNop())
	assert.Empty(t, o.Adopt(false).Holds)
	require.ErrorIs(t, o.Err(), enforce.ErrNotAdopted, "it searches again")
	orphan, ok := o.Attach(m.target())
	assert.True(t, ok)
	assert.Nil(t, orphan)
	m.step()

	now := boottime.Now()
	o.Check(now + time.Hour)
	assert.Empty(t, o.Actions())
	assert.True(t, m.ceiling.InForce())

	// Its target ends, and it cannot be released.
	m.cgroup.Fail("Restore", enforcetest.ErrBroken)
	m.ceiling.Release(enforce.ActionRelease, "the target is gone", now)
	o.Detach(m.ceiling)
	require.ErrorIs(t, o.Err(), enforcetest.ErrBroken)

	m.cgroup.Fail("Restore", nil)
	o.Check(now + time.Hour)
	assert.Equal(t, []string{"release: its hold is over"}, kinds(o.Actions()))
	assert.Equal(t, enforcetest.Unlimited, m.cgroup.CPUMax())
}

func TestOrphans_Stop(t *testing.T) {
	for name, test := range map[string]struct {
		holdLeft time.Duration
		release  bool
		want     string
	}{
		"release":            {holdLeft: time.Hour, release: true, want: enforcetest.Unlimited},
		"keep":               {holdLeft: time.Hour, want: "50001 100000"},
		"keep, hold is over": {holdLeft: 10 * time.Millisecond, want: enforcetest.Unlimited},
	} {
		t.Run(name, func(t *testing.T) {
			node := enforcetest.NewNode()
			c := node.Create(memoryPath, "50001 100000", memoryInode)
			j := journal(test.holdLeft)
			c.SetJournal(j)

			o := enforce.NewOrphans(node.Enforce(), lockFunc(func() error { return nil }), zap.NewNop())
			o.Adopt(false)

			if test.holdLeft < time.Second {
				require.Eventually(t, func() bool { return boottime.Now() > j.HoldUntil }, time.Minute, time.Millisecond)
			}

			o.Stop(test.release)
			assert.Equal(t, test.want, c.CPUMax())
			assert.Empty(t, o.Stop(true))

			_, ok := o.Check(boottime.Now() + time.Hour)
			assert.False(t, ok)
		})
	}
}

// incompleteSearch is a node on which a folder can never be searched.
func incompleteSearch(memory *enforcetest.Node) enforce.Node {
	return enforcetest.Incomplete(memory.Enforce(), errors.New("a folder is gone"))
}

// TestOrphans_AttachToOneTarget: a cgroup is one target's until Detach, and a path the target's whose cgroup is there.
func TestOrphans_AttachToOneTarget(t *testing.T) {
	second := func(inode uint64) enforce.Target {
		return enforce.Target{ID: "spegel/spegel-2/registry", ContainerID: "c1", PID: 1, Cgroup: memoryPath, CgroupInode: inode}
	}

	t.Run("same cgroup", func(t *testing.T) {
		m := newMachine(t, enforcetest.Unlimited)
		o := enforce.NewOrphans(m.node.Enforce(), lockFunc(func() error { return nil }), zap.NewNop())

		_, ok := o.Attach(m.target())
		assert.True(t, ok)
		_, ok = o.Attach(m.target())
		assert.True(t, ok, "it has it already")

		_, ok = o.Attach(second(memoryInode))
		assert.False(t, ok)

		o.Detach(m.ceiling)

		_, ok = o.Attach(second(memoryInode))
		assert.True(t, ok)
	})

	t.Run("another cgroup at the same path", func(t *testing.T) {
		m := newMachine(t, enforcetest.Unlimited)
		node := incompleteSearch(m.node)
		o := enforce.NewOrphans(node, lockFunc(func() error { return nil }), zap.NewNop())
		o.Adopt(false)

		_, ok := o.Attach(m.target())
		require.True(t, ok)
		m.step()

		c := m.node.Create(memoryPath, enforcetest.Unlimited, memoryInode+1)
		next := enforce.New(node, second(memoryInode+1))
		_, ok = o.Attach(next.Target())
		require.True(t, ok)
		assert.Equal(t, []string{"apply: cpu 1803m"}, kinds(next.Reconcile(&m.desired, m.now)))

		// The first target's own cgroup is removed. The journal at the path is the second one's.
		m.cgroup.Fail("ReadCPUMax", cgroup.ErrGone)
		m.cgroup.Fail("Restore", cgroup.ErrGone)
		m.ceiling.Release(enforce.ActionRelease, "the target is gone", m.now)
		o.Detach(m.ceiling)

		o.Check(boottime.Now() + 2*time.Hour)
		assert.Empty(t, o.Actions())
		assert.Equal(t, "50001 100000", c.CPUMax())
		require.ErrorIs(t, o.Err(), enforce.ErrNotAdopted, "it has searched")
	})
}
