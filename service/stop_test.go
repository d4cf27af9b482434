// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRunUntil_LeavesWhatHangs: a controller that hangs must not keep the ceilings from being released at the stop.
func TestRunUntil_LeavesWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang, start := make(chan struct{}), time.Now()
		defer close(hang)

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()

		err := runUntil(ctx, func(context.Context) error {
			<-hang

			return nil
		}, stopTimeout)

		require.ErrorContains(t, err, "have not ended 5s after")
		assert.Equal(t, time.Hour+stopTimeout, time.Since(start))
	})
}

func TestRunUntil_ReturnsTheError(t *testing.T) {
	failed := errors.New("failed")

	require.ErrorIs(t, runUntil(t.Context(), func(context.Context) error { return failed }, time.Hour), failed)
	require.NoError(t, runUntil(t.Context(), func(context.Context) error { return nil }, time.Hour))
	require.Error(t, runUntil(t.Context(), func(context.Context) error { panic("at the disco") }, time.Hour))
}
