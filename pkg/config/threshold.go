// SPDX-License-Identifier: MPL-2.0

package config

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// Threshold is a number of cores (400m), a byte rate (500k/s, 500 kB/s, 1G/min) or a share (50%).
type Threshold struct {
	// Value in Unit: cores, bytes per second, or 0..1.
	Value float64
	Unit  policy.Unit

	text    string
	invalid string
}

var timeUnits = map[string]float64{"s": 1, "min": 60, "h": 3600}

// UnmarshalText reads a Kubernetes quantity with an optional /s, /min or /h, or a percentage; and what our commands print, such as
// 1.4 MB/s and 37 %.
func (t *Threshold) UnmarshalText(text []byte) error {
	value, err := parseThreshold(string(text))
	*t = value

	if err != nil {
		t.invalid = string(text)
	}

	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (t Threshold) MarshalText() ([]byte, error) { return []byte(t.text), nil }

// String returns the threshold as it was written.
func (t Threshold) String() string { return t.text }

// IsZero reports whether there is none.
func (t Threshold) IsZero() bool { return t == Threshold{} }

// MustThreshold is for thresholds in source code; it panics on a text that does not parse.
func MustThreshold(text string) Threshold {
	t, err := parseThreshold(text)
	if err != nil {
		panic(err)
	}

	return t
}

func parseThreshold(text string) (Threshold, error) {
	t := Threshold{Unit: policy.Cores, text: text}
	divisor, parse := 1.0, parseQuantity

	amount, per, isRate := strings.Cut(text, "/")
	amount, isShare := strings.CutSuffix(amount, "%")

	switch {
	case isRate && isShare:
		return Threshold{}, errors.New("failed to parse the threshold " + text + ": a share has no unit of time")
	case isRate:
		t.Unit, divisor, parse = policy.BytesPerSecond, timeUnits[per], parseBytes
	case isShare:
		t.Unit, divisor = policy.Ratio, 100
		amount = strings.TrimSuffix(amount, " ")
	}

	quantity, err := parse(amount)
	if err != nil {
		return Threshold{}, fmt.Errorf("failed to parse the threshold %q: %w", text, err)
	}

	// An unknown unit of time divides by 0.
	t.Value = quantity.AsApproximateFloat64() / divisor
	if math.IsInf(t.Value, 0) || math.IsNaN(t.Value) {
		return Threshold{}, fmt.Errorf("failed to parse the threshold %q: out of range, or not per s, min or h", text)
	}

	return t, nil
}
