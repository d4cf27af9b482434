package config

import (
	"fmt"
	"math"
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

// Threshold is an amount (400m cores) or a rate (500k/s, 1G/min).
type Threshold struct {
	// Value is in cores, or per second for a rate.
	Value float64
	// Rate tells that the text had a unit of time.
	Rate bool

	text    string
	invalid string
}

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

	quantity, err := resource.ParseQuantity(amount)
	if err != nil {
		return Threshold{}, fmt.Errorf("error parsing %q: %w", text, err)
	}

	value := quantity.AsApproximateFloat64()

	if isRate {
		seconds, ok := rateUnits[unit]
		if !ok {
			return Threshold{}, fmt.Errorf("error parsing %q: unit %q is none of s, min, h", text, unit)
		}

		value /= seconds
	}

	if math.IsInf(value, 0) || math.IsNaN(value) {
		return Threshold{}, fmt.Errorf("error parsing %q: out of range", text)
	}

	return Threshold{Value: value, Rate: isRate, text: text}, nil
}
