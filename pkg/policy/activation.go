package policy

import "github.com/google/cel-go/interpreter"

// windowValues give an expression its signals' averages over the rule's window.
type windowValues struct{ meters []meter }

// ResolveName implements interpreter.Activation.
func (v windowValues) ResolveName(name string) (any, bool) {
	for i := range v.meters {
		if string(v.meters[i].signal) == name {
			return v.meters[i].value, true
		}
	}

	return nil, false
}

// Parent implements interpreter.Activation.
func (windowValues) Parent() interpreter.Activation { return nil }

// probeValues give it the averages since a probe began.
type probeValues struct{ meters []meter }

// ResolveName implements interpreter.Activation.
func (v probeValues) ResolveName(name string) (any, bool) {
	for i := range v.meters {
		if string(v.meters[i].signal) == name {
			value, _ := v.meters[i].sinceMark()

			return value, true
		}
	}

	return nil, false
}

// Parent implements interpreter.Activation.
func (probeValues) Parent() interpreter.Activation { return nil }
