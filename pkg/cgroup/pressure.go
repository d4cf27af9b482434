// SPDX-License-Identifier: MPL-2.0

package cgroup

import "bytes"

// Pressure is the "some" line of cpu.pressure (Documentation/accounting/psi.rst).
type Pressure struct {
	// TotalUsec is the time in which at least one task waited for a processor, cumulative. The line's
	// averages are left out: they lag behind.
	TotalUsec uint64
}

// ParsePressure reads cpu.pressure. It allocates nothing.
func ParsePressure(data []byte) (Pressure, error) {
	line, _, _ := bytes.Cut(data, []byte{'\n'})

	kind, rest, _ := bytes.Cut(line, []byte{' '})
	if string(kind) != "some" {
		return Pressure{}, ErrMalformed
	}

	for len(rest) > 0 {
		var field []byte

		field, rest, _ = bytes.Cut(rest, []byte{' '})

		if text, ok := bytes.CutPrefix(field, []byte("total=")); ok {
			total, ok := parseUint(text)
			if !ok {
				return Pressure{}, ErrMalformed
			}

			return Pressure{TotalUsec: total}, nil
		}
	}

	return Pressure{}, ErrMalformed
}
