// SPDX-License-Identifier: MPL-2.0

package config

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/interpreter"
	talos "github.com/siderolabs/talos/pkg/machinery/cel"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// maxCost bounds one evaluation, in CEL's own units of cost.
const maxCost = 10_000

// Expression is a condition in CEL (https://cel.dev) over the averages of signals, as doubles by their names. It is
// type-checked when the document is read, and implements policy.Expression. The empty Expression is none.
type Expression struct {
	text     string
	compiled *compiled
	invalid  string
}

type compiled struct {
	program cel.Program
	signals []Signal
}

var expressionEnv = sync.OnceValues(func() (*cel.Env, error) {
	var options []cel.EnvOption

	for _, signal := range policy.Signals() {
		options = append(options, cel.Variable(string(signal), cel.DoubleType))
	}

	return cel.NewEnv(options...)
})

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *Expression) UnmarshalText(text []byte) error {
	*e = Expression{text: string(text)}

	c, err := compile(e.text)
	if err != nil {
		e.invalid = strings.Join(strings.Fields(err.Error()), " ")
	}

	e.compiled = c

	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (e Expression) MarshalText() ([]byte, error) { return []byte(e.text), nil }

// String returns the expression as it was written.
func (e Expression) String() string { return e.text }

// IsZero reports whether there is none.
func (e Expression) IsZero() bool { return e.text == "" }

// Signals returns the signals that the expression reads.
func (e Expression) Signals() []Signal { return e.compiled.signals }

// Eval evaluates the expression with the averages of the signals. It fails where CEL does, for instance on a modulus
// by zero.
func (e Expression) Eval(average func(policy.Signal) float64) (bool, error) {
	out, _, err := e.compiled.program.Eval(averages(average))
	if err != nil {
		return false, fmt.Errorf("failed to evaluate %q: %w", e.text, err)
	}

	value, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("failed to evaluate %q: the result is a %s", e.text, out.Type())
	}

	return value, nil
}

func compile(text string) (*compiled, error) {
	env, err := expressionEnv()
	if err != nil {
		return nil, err
	}

	if text == "" {
		return nil, nil //nolint:nilnil // none
	}

	// Talos' own check comes first, so that an expression is valid here as in a machine configuration. Talos' expressions
	// cannot be kept compiled: they are compiled again at each evaluation.
	if _, err := talos.ParseBooleanExpression(text, env); err != nil {
		return nil, err
	}

	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, issues.Err()
	}

	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	if err != nil {
		return nil, err
	}

	c := &compiled{program: program}

	for _, reference := range ast.NativeRep().ReferenceMap() {
		if signal := Signal(reference.Name); signal.Unit() != "" && !slices.Contains(c.signals, signal) {
			c.signals = append(c.signals, signal)
		}
	}

	slices.Sort(c.signals)

	if len(c.signals) == 0 {
		return nil, fmt.Errorf("the expression reads no signal")
	}

	return c, nil
}

// averages gives an expression the averages of signals by their names.
type averages func(policy.Signal) float64

// ResolveName implements interpreter.Activation.
func (a averages) ResolveName(name string) (any, bool) {
	if signal := policy.Signal(name); signal.Unit() != "" {
		return a(signal), true
	}

	return nil, false
}

// Parent implements interpreter.Activation.
func (averages) Parent() interpreter.Activation { return nil }
