// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestFailure_LogsChanges(t *testing.T) {
	one, other := errors.New("one"), errors.New("other")

	ended, end := context.WithCancel(t.Context())
	end()

	core, logs := observer.New(zap.InfoLevel)

	var f failure

	for _, step := range []struct {
		name  string
		ctx   context.Context //nolint:containedctx // of a pass
		err   error
		wants string
	}{
		{name: "no error"},
		{name: "first error", err: errors.Join(one, other), wants: "controller failed, trying again"},
		{name: "same error", err: errors.Join(one, other)},
		{name: "another order", err: errors.Join(other, one)},
		{name: "the service stops", ctx: ended, err: context.Canceled},
		{name: "another error", err: other, wants: "controller failed, trying again"},
		{name: "success", wants: "controller has recovered"},
		{name: "success again"},
		{name: "the error again", err: other, wants: "controller failed, trying again"},
	} {
		ctx := step.ctx
		if ctx == nil {
			ctx = t.Context()
		}

		f.log(ctx, zap.New(core), step.err)

		var messages []string
		for _, entry := range logs.TakeAll() {
			messages = append(messages, entry.Message)
		}

		if step.wants == "" {
			assert.Empty(t, messages, step.name)
		} else {
			assert.Equal(t, []string{step.wants}, messages, step.name)
		}
	}
}
