// SPDX-License-Identifier: MPL-2.0

package policy

import "github.com/google/cel-go/interpreter"

// values give an expression its signals, each as the meter's average that of picks.
type values struct {
	meters []meter
	of     func(*meter) float64
}

// ResolveName implements interpreter.Activation.
func (v values) ResolveName(name string) (any, bool) {
	for i := range v.meters {
		if string(v.meters[i].signal) == name {
			return v.of(&v.meters[i]), true
		}
	}

	return nil, false
}

// Parent implements interpreter.Activation.
func (values) Parent() interpreter.Activation { return nil }

// overWindow is the average over the rule's window, overProbe the one since a probe began.
func overWindow(m *meter) float64 { return m.value }

func overProbe(m *meter) float64 {
	value, _ := m.sinceMark()

	return value
}
