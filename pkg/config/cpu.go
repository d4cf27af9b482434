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
