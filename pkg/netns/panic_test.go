// SPDX-License-Identifier: MPL-2.0

//go:build linux

package netns

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/internal/task"
)

func TestOnThread_ReturnsAnErrorForAPanic(t *testing.T) {
	assert.ErrorIs(t, onThread(func() error { panic("dial") }), task.ErrPanicked)

	plain := errors.New("plain")
	assert.ErrorIs(t, onThread(func() error { return plain }), plain)
	assert.NoError(t, onThread(func() error { return nil }))
}
