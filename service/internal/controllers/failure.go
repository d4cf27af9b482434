// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// failure logs the errors of a controller that goes on after them. The runtime logs those that end a controller.
type failure struct {
	// lines are those of the newest error, sorted; none after a pass without one.
	lines []string
}

// log logs the error of a pass if it differs from that of the pass before, and the first pass without one.
func (f *failure) log(ctx context.Context, logger *zap.Logger, err error) {
	if ctx.Err() != nil || err == nil && f.lines == nil {
		return
	}

	var lines []string

	if err != nil {
		// Errors of several targets are joined in any order.
		lines = strings.Split(err.Error(), "\n")
		slices.Sort(lines)
	}

	switch {
	case slices.Equal(lines, f.lines):
	case err == nil:
		logger.Info("controller has recovered")
	default:
		logger.Error("controller failed, trying again", zap.Error(err))
	}

	f.lines = lines
}
