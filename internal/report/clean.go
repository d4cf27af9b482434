// SPDX-License-Identifier: MPL-2.0

package report

import "github.com/spegel-guard/spegel-guard/internal/printable"

func clipped(text string) string { return printable.Line(printable.Clip(text, printable.MaxText)) }

// clean returns the node with each text as a line of printable characters: a node decides what its texts contain, and a report is read
// on a terminal, too.
func (n Node) clean() Node {
	verdicts := make(map[string]string, len(n.Verdicts))

	for target, verdict := range n.Verdicts {
		verdicts[clipped(target)] = clipped(verdict)
	}

	return Node{
		Name: clipped(n.Name), Targets: n.Targets, Links: n.Links, Actions: each(n.Actions, Action.clean), Verdicts: verdicts,
		Advice: each(n.Advice, clipped),
	}
}

// clean returns the action with each text as a line of printable characters.
func (a Action) clean() Action {
	return Action{
		At: a.At, Kind: clipped(a.Kind), Target: clipped(a.Target), Reason: clipped(a.Reason),
		Before: clipped(a.Before), After: clipped(a.After), Evidence: clipped(a.Evidence),
	}
}

// clean returns the entry with each text as a line of printable characters.
func (e Entry) clean() Entry {
	return Entry{
		At: e.At, Node: clipped(e.Node), What: clipped(e.What), Why: clipped(e.Why), Change: clipped(e.Change),
		Folder: clipped(e.Folder),
	}
}

func each[T any](all []T, clean func(T) T) []T {
	cleaned := make([]T, len(all))

	for i, value := range all {
		cleaned[i] = clean(value)
	}

	return cleaned
}
