// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sync/errgroup"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestConditions_ReportTheProblemsOfAllComponents(t *testing.T) {
	st := state.WrapCore(namespaced.NewState(inmem.Build))
	require.NoError(t, resources.Register(t.Context(), st))

	c := &conditions{state: st, logger: zap.NewNop()}
	listener := c.reporter(t.Context(), resources.ConditionAPI, "listener", resources.ReasonNotServed)
	certificates := c.reporter(t.Context(), resources.ConditionAPI, "certificates", resources.ReasonNoCertificate)

	expect := func(reason, message string) {
		t.Helper()

		condition, err := safe.StateGetByID[*resources.Condition](t.Context(), st, resources.ConditionAPI)
		require.NoError(t, err)
		assert.Equal(t, reason, condition.TypedSpec().Reason)
		assert.Equal(t, message, condition.TypedSpec().Message)
	}

	listener(errors.New("in use"))
	expect(resources.ReasonNotServed, "in use")

	certificates(errors.New("expired"))
	expect(resources.ReasonNoCertificate, "expired; in use")

	certificates(nil)
	expect(resources.ReasonNotServed, "in use")

	listener(nil)
	expect(resources.ReasonOK, "")
}

func TestServing_KeepRetriesAndLogsEachNewError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.InfoLevel)
		s := &serving{logger: zap.New(core)}

		var (
			group    errgroup.Group
			reported []string
		)

		ctx, cancel := context.WithCancel(t.Context())
		outcomes := []error{errors.New("in use"), errors.New("in use"), errors.New("refused"), nil}
		runs := 0

		s.keep(ctx, &group, "serve the API", func(err error) { reported = append(reported, err.Error()) }, func() error {
			runs++

			return outcomes[runs-1]
		})

		time.Sleep(3 * retryInterval)
		synctest.Wait()
		cancel()
		require.NoError(t, group.Wait())

		assert.Equal(t, 4, runs)
		assert.Equal(t, []string{"in use", "in use", "refused"}, reported)
		assert.Equal(t, 2, logs.FilterMessage("failed to serve the API, retrying").Len())
	})
}
