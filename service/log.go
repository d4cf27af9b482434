// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func newLogger() (*zap.Logger, error) {
	cfg := zap.NewProductionConfig()
	cfg.EncoderConfig.EncodeTime = encodeTime
	cfg.DisableStacktrace = true
	cfg.DisableCaller = true
	// Sampling would drop actions.
	cfg.Sampling = nil

	logger, err := cfg.Build()
	if err != nil {
		return nil, fmt.Errorf("failed to create the logger: %w", err)
	}

	// Package task logs panics to it.
	zap.ReplaceGlobals(logger)

	return logger, nil
}

// encodeTime writes RFC 3339 in UTC with milliseconds, as machined does.
func encodeTime(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	enc.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z"))
}
