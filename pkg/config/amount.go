// SPDX-License-Identifier: MPL-2.0

package config

import (
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/duration"
)

// Amount is an amount of time or of bytes: 10m is ten minutes, 10M ten megabytes.
type Amount struct {
	// Duration is set for an amount of time, Bytes for one of bytes.
	Duration time.Duration
	Bytes    float64

	text    string
	invalid string
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Amount) UnmarshalText(text []byte) error {
	*a = Amount{text: string(text)}

	if lasting, err := duration.Parse(a.text); err == nil {
		a.Duration = lasting

		return nil
	}

	quantity, err := parseBytes(a.text)
	if err != nil {
		a.invalid = a.text

		return nil //nolint:nilerr // reported by validate
	}

	a.Bytes = quantity.AsApproximateFloat64()

	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.text), nil }

// String returns the amount as it was written.
func (a Amount) String() string { return a.text }

// MustAmount is for amounts in source code; it panics on a text that does not parse.
func MustAmount(text string) Amount {
	var a Amount

	if a.UnmarshalText([]byte(text)); a.invalid != "" { //nolint:errcheck // it has none
		panic(fmt.Sprintf("failed to parse the amount %q", text))
	}

	return a
}
