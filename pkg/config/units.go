// SPDX-License-Identifier: MPL-2.0

package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// The scalar types below keep a text they cannot parse instead of failing at once, so that Parse
// reports every error of a document, each with its field.

// Duration as Go writes it: 1s, 10m, 1h30m.
type Duration struct {
	time.Duration

	invalid string
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	value, err := time.ParseDuration(string(text))
	*d = Duration{Duration: value}

	if err != nil {
		d.invalid = string(text)
	}

	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// CPU is an amount of processor time per time, in thousandths of a core.
type CPU struct {
	Millicores int64

	invalid string
}

// UnmarshalText reads a Kubernetes quantity: 500m, 0.5, 2.
func (c *CPU) UnmarshalText(text []byte) error {
	*c = CPU{}

	quantity, err := resource.ParseQuantity(string(text))
	if err != nil {
		c.invalid = string(text)

		return nil //nolint:nilerr // reported by validate
	}

	c.Millicores = quantity.MilliValue()

	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (c CPU) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String writes the value as Kubernetes does.
func (c CPU) String() string {
	return resource.NewMilliQuantity(c.Millicores, resource.DecimalSI).String()
}

// Threshold is an amount (400m cores), a rate (500k/s, 1G/min) or a share (50%).
type Threshold struct {
	// Value is in cores, per second for a rate, and 0..1 for a share.
	Value float64
	Unit  Unit

	text    string
	invalid string
}

// IsZero tells that there is none.
func (t Threshold) IsZero() bool { return t == Threshold{} }

// Unit of a threshold's number.
type Unit int

// Units.
const (
	// UnitNumber: 400m, 2.
	UnitNumber Unit = iota
	// UnitRate: 500k/s.
	UnitRate
	// UnitShare: 50%.
	UnitShare
)

var rateUnits = map[string]float64{"s": 1, "min": 60, "h": 3600}

// UnmarshalText reads a Kubernetes quantity with an optional /s, /min or /h.
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

// String is the threshold as it was written.
func (t Threshold) String() string { return t.text }

// MustThreshold is for thresholds in source code; it panics on a text that does not parse.
func MustThreshold(text string) Threshold {
	t, err := parseThreshold(text)
	if err != nil {
		panic(err)
	}

	return t
}

func parseThreshold(text string) (Threshold, error) {
	amount, unit, isRate := strings.Cut(text, "/")
	amount, isShare := strings.CutSuffix(amount, "%")

	if isRate && isShare {
		return Threshold{}, fmt.Errorf("error parsing %q: a share has no unit of time", text)
	}

	quantity, err := resource.ParseQuantity(amount)
	if err != nil {
		return Threshold{}, fmt.Errorf("error parsing %q: %w", text, err)
	}

	value, kind := quantity.AsApproximateFloat64(), UnitNumber

	switch {
	case isShare:
		value, kind = value/100, UnitShare
	case isRate:
		kind = UnitRate
		seconds, ok := rateUnits[unit]
		if !ok {
			return Threshold{}, fmt.Errorf("error parsing %q: unit %q is none of s, min, h", text, unit)
		}

		value /= seconds
	}

	if math.IsInf(value, 0) || math.IsNaN(value) {
		return Threshold{}, fmt.Errorf("error parsing %q: out of range", text)
	}

	return Threshold{Value: value, Unit: kind, text: text}, nil
}

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

// String is the share as a number.
func (s Share) String() string { return strconv.FormatFloat(s.Value, 'g', -1, 64) }

// IsZero tells that it is nothing.
func (s Share) IsZero() bool { return s == Share{} }

// Amount is an amount of time or of bytes, whichever its text can be read as: 10m is ten minutes, 10M ten megabytes.
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

	if duration, err := time.ParseDuration(a.text); err == nil {
		a.Duration = duration

		return nil
	}

	quantity, err := resource.ParseQuantity(a.text)
	if err != nil {
		a.invalid = a.text

		return nil //nolint:nilerr // reported by validate
	}

	a.Bytes = quantity.AsApproximateFloat64()

	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.text), nil }

// String is the amount as it was written.
func (a Amount) String() string { return a.text }

// MustAmount is for amounts in source code; it panics on a text that does not parse.
func MustAmount(text string) Amount {
	var a Amount

	if a.UnmarshalText([]byte(text)); a.invalid != "" { //nolint:errcheck // it has none
		panic(fmt.Sprintf("error parsing amount %q", text))
	}

	return a
}

// Port is a TCP port; 0 is none.
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

// String is the port in decimal.
func (p Port) String() string { return strconv.FormatUint(uint64(p.Number), 10) }
