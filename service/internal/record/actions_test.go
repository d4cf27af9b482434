// SPDX-License-Identifier: MPL-2.0

package record

import (
	"fmt"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestIDsSortAsTheyHappened(t *testing.T) {
	assert.Equal(t, "000001", id(1))
	assert.Equal(t, "000050", id(50))
	assert.Equal(t, "123456", id(123456))
	assert.Equal(t, "1234567", id(1234567))
}

func TestTheNewestStayAndEachIsLogged(t *testing.T) {
	st := state.WrapCore(namespaced.NewState(inmem.Build))
	require.NoError(t, resources.Register(t.Context(), st))

	core, logs := observer.New(zap.InfoLevel)
	log := NewLog(st, zap.New(core))

	const count = resources.MaxGuardActions + 10

	for i := range count {
		require.NoError(t, log.Record(t.Context(), resources.GuardActionSpec{Action: resources.ActionApply, Reason: fmt.Sprint(i), Mode: "enforce"}))
	}

	list, err := safe.StateListAll[*resources.GuardAction](t.Context(), st)
	require.NoError(t, err)
	require.Equal(t, resources.MaxGuardActions, list.Len())
	assert.Equal(t, "10", list.Get(0).TypedSpec().Reason, "the oldest that is kept")
	assert.Equal(t, fmt.Sprint(count-1), list.Get(list.Len()-1).TypedSpec().Reason)

	require.Equal(t, count, logs.Len())
	assert.NotContains(t, logs.All()[0].ContextMap(), "by", "nobody asked for it")

	until := time.Unix(100, 0)
	log.Write(resources.GuardActionSpec{Action: resources.ActionPause, By: resources.Person{Subject: "CN=anna", From: "10.0.0.1:1"}, Until: until})

	fields := logs.All()[count].ContextMap()
	assert.Equal(t, "CN=anna", fields["by"])
	assert.Equal(t, "10.0.0.1:1", fields["from"])
	assert.Equal(t, until, fields["until"])

	log.Write(resources.GuardActionSpec{Action: resources.ActionCapture, By: resources.Person{Subject: "CN=anna"}})
	assert.NotContains(t, logs.All()[count+1].ContextMap(), "until", "it has no end")
}
