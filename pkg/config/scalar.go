// SPDX-License-Identifier: MPL-2.0

package config

import (
	"strconv"
	"strings"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/duration"
)

// The scalar types keep a text that they cannot parse instead of failing at once, so that Parse reports every error
// of a document, each with its field.

// Duration as Go writes it, with days if there are any: 1s, 10m, 1h30m, 2d3h.
type Duration struct {
	time.Duration

	invalid string
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	value, err := duration.Parse(string(text))
	*d = Duration{Duration: value}

	if err != nil {
		d.invalid = string(text)
	}

	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String returns the duration as a person writes it: 10m, 2h.
func (d Duration) String() string { return duration.Exact(d.Duration) }

// Share is a part of a whole, written 10% or 0.1.
type Share struct {
	Value float64

	invalid string
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")

	value, err := strconv.ParseFloat(number, 64)
	if percent {
		value /= 100
	}

	*s = Share{Value: value}

	if err != nil {
		s.invalid = string(text)
	}

	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String returns the share as a number.
func (s Share) String() string { return strconv.FormatFloat(s.Value, 'g', -1, 64) }

// Port is a TCP port; 0 for none.
type Port struct {
	Number  uint16
	invalid string
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Port) UnmarshalText(text []byte) error {
	*p = Port{}

	number, err := strconv.ParseUint(string(text), 10, 16)
	if err != nil {
		p.invalid = string(text)
	}

	p.Number = uint16(number)

	return nil // reported by validate
}

// MarshalText implements encoding.TextMarshaler.
func (p Port) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String returns the port in decimal.
func (p Port) String() string { return strconv.FormatUint(uint64(p.Number), 10) }
