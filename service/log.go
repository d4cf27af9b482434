// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"time"

	"go.uber.org/zap/zapcore"
)

// zapTime writes RFC 3339 in UTC with milliseconds, as machined does.
func zapTime(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	enc.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z"))
}
