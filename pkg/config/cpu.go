// SPDX-License-Identifier: MPL-2.0

package config

import "k8s.io/apimachinery/pkg/api/resource"

// CPU is a number of CPUs in thousandths of a core.
type CPU struct {
	Millicores int64

	invalid string
}

// UnmarshalText reads a Kubernetes quantity: 500m, 0.5, 2.
func (c *CPU) UnmarshalText(text []byte) error {
	*c = CPU{}

	quantity, err := parseQuantity(string(text))
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

// ParseCPU reads a number of cores that a ceiling may have. The error is a FieldError.
func ParseCPU(field, text string) (CPU, error) {
	var (
		v   validator
		cpu CPU
	)

	cpu.UnmarshalText([]byte(text)) //nolint:errcheck // it has none
	v.cpu(field, cpu, minCPU)

	if len(v.errs) > 0 {
		return CPU{}, v.errs[0]
	}

	return cpu, nil
}
