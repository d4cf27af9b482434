// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state/owned"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce/enforcetest"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// unpublishing is a runtime that fails to publish and to remove the ceilings of all targets while broken is set.
type unpublishing struct {
	controller.Runtime

	writer controller.Writer
	broken bool
}

func (u *unpublishing) fails(kind resource.Type) bool {
	return u.broken && kind == resources.CeilingStatusType
}

func (u *unpublishing) Modify(
	ctx context.Context, r resource.Resource, update func(resource.Resource) error, options ...controller.ModifyOption,
) error {
	if u.fails(r.Metadata().Type()) {
		return errBroken
	}

	return u.writer.Modify(ctx, r, update, options...)
}

func (u *unpublishing) Destroy(ctx context.Context, p resource.Pointer, options ...controller.DeleteOption) error {
	if u.fails(p.Type()) {
		return errBroken
	}

	return u.writer.Destroy(ctx, p, options...)
}

// TestCeilingController_RecordsWhatItCannotPublish: a ceiling whose status cannot be published was written. Its action is recorded with
// its evidence, no other ceiling waits, and the next pass publishes the status.
func TestCeilingController_RecordsWhatItCannotPublish(t *testing.T) {
	node, st := enforcetest.NewNode(), newState(t)
	ids := []resource.ID{"a/1/c", "a/2/c", "a/3/c"}
	s := &suite{t: t, state: st}
	r := &unpublishing{writer: owned.New(st, "guard.CeilingController"), broken: true}
	c := newCeilingController(node, st)
	c.Evidence = &record.Evidence{Dir: t.TempDir()}
	beginPasses(c)

	for _, id := range ids {
		node.Create(id, enforcetest.Unlimited, 7)

		c.inputs.targets[id] = resources.TargetSpec{ContainerID: id, Cgroup: id, CgroupInode: 7}
		c.inputs.desired[id] = &resources.DesiredCeilingSpec{
			CeilingMillicores: 500, FloorMillicores: 100, Rule: "R", SinceClock: 1, HoldUntilClock: time.Hour,
		}
	}

	pass := func() error { return c.reconcile(t.Context(), r, zap.NewNop()) }

	require.ErrorIs(t, pass(), errBroken)
	require.Len(t, s.actions(), len(ids))

	for _, action := range s.actions() {
		assert.Equal(t, resources.ActionApply, action.Action)
		assert.NotEmpty(t, action.Evidence)
	}

	r.broken = false

	require.NoError(t, pass())
	assert.Len(t, s.actions(), len(ids), "no action is recorded twice")

	for _, id := range ids {
		await(s, resources.NewCeilingStatus(id), func(status resources.CeilingStatusSpec) bool { return status.State == resources.CeilingApplied })
	}

	// The targets are gone.
	clear(c.inputs.targets)

	r.broken = true

	require.ErrorIs(t, pass(), errBroken)
	require.Len(t, s.actions(), 2*len(ids))

	r.broken = false

	require.NoError(t, pass())
	assert.Len(t, s.actions(), 2*len(ids))

	for _, id := range ids {
		s.gone(resources.NewCeilingStatus(id))
	}
}
