// SPDX-License-Identifier: MPL-2.0

package report

import "github.com/spegel-guard/spegel-guard/internal/printable"

// clean returns the node with each text as a line of printable characters: a node decides what its texts contain, and a report is read
// on a terminal, too.
func (n Node) clean() Node {
	verdicts := make(map[string]string, len(n.Verdicts))

	for target, verdict := range n.Verdicts {
		verdicts[printable.Line(target)] = printable.Line(verdict)
	}

	return Node{
		Name: printable.Line(n.Name), Points: n.Points, Actions: each(n.Actions, Action.clean), Verdicts: verdicts, Advice: each(n.Advice, printable.Line),
	}
}

// clean returns the action with each text as a line of printable characters.
func (a Action) clean() Action {
	return Action{
		At: a.At, Kind: printable.Line(a.Kind), Target: printable.Line(a.Target), Reason: printable.Line(a.Reason),
		Before: printable.Line(a.Before), After: printable.Line(a.After), Evidence: printable.Line(a.Evidence),
	}
}

// clean returns the entry with each text as a line of printable characters.
func (e Entry) clean() Entry {
	return Entry{
		At: e.At, Node: printable.Line(e.Node), What: printable.Line(e.What), Why: printable.Line(e.Why), Change: printable.Line(e.Change),
		Folder: printable.Line(e.Folder),
	}
}

func each[T any](all []T, clean func(T) T) []T {
	cleaned := make([]T, len(all))

	for i, value := range all {
		cleaned[i] = clean(value)
	}

	return cleaned
}
