// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"io/fs"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
)

// lock is one that a test can take away.
type lock struct {
	err   atomic.Pointer[error]
	asked atomic.Int64
}

func (l *lock) Acquire() error {
	defer l.asked.Add(1)

	if err := l.err.Load(); err != nil {
		return *err
	}

	return nil
}

func (l *lock) set(err error) { l.err.Store(&err) }

func TestCeilingController_WritesNothingWithoutTheLock(t *testing.T) {
	e := newEnforcing(t, enforceDoc, enforcetest.Unlimited, func(e *enforcing) { e.lock.set(enforce.ErrLocked) })
	e.desire(500, "R", "r")
	e.condition(resources.ReasonNoLock)
	assert.Equal(t, enforcetest.Unlimited, e.cgroup.CPUMax())

	// Without a hierarchy TargetController reports it.
	e.lock.set(cgroup.ErrNotUnified)

	before := e.lock.asked.Load()
	require.Eventually(t, func() bool {
		e.c.Wake()

		return e.lock.asked.Load() > before+1
	}, patience, time.Millisecond)
	e.condition(resources.ReasonNoLock)
	assert.Equal(t, enforcetest.Unlimited, e.cgroup.CPUMax())

	// Another error is not another guard.
	e.lock.set(&fs.PathError{Op: "open", Path: "/sys/fs/cgroup", Err: unix.EACCES})
	e.c.Wake()
	assert.NotContains(t, e.condition(resources.ReasonNotPermitted).Message, "another")
	assert.Equal(t, enforcetest.Unlimited, e.cgroup.CPUMax())

	e.lock.err.Store(nil)
	e.c.Wake()
	e.condition(resources.ReasonOK)
	e.status(resources.CeilingApplied)
}
