// SPDX-License-Identifier: MPL-2.0

package main

import (
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLogger returns a logger to the standard error output. It samples nothing: that would drop actions. Sync it at the end.
func newLogger() *zap.Logger {
	cfg := zap.NewProductionEncoderConfig()
	cfg.EncodeTime = encodeTime

	logger := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(cfg), newLogQueue(os.Stderr), zap.InfoLevel))

	// Package task logs panics to it.
	zap.ReplaceGlobals(logger)

	// net/http logs what a target sends unasked. Such lines are at level debug, which is not written.
	zap.RedirectStdLogAt(logger, zap.DebugLevel) //nolint:errcheck // the level is known

	return logger
}

// encodeTime writes RFC 3339 in UTC with milliseconds, as machined does.
func encodeTime(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	enc.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z"))
}
