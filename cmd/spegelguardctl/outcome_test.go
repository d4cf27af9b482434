// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/pkg/client"
)

// TestOutcome_CountsNodes: the command's own item is none, and its error is not lost.
func TestOutcome_CountsNodes(t *testing.T) {
	unwritten := func(nodes ...string) error {
		var failed output.ItemErrors
		for _, node := range nodes {
			failed = append(failed, output.ItemError{Node: node, Err: errors.New("no " + node)})
		}

		return failed
	}

	for name, test := range map[string]struct {
		of         int
		unwritten  []string
		unanswered []string
		want       string
	}{
		"command":               {3, []string{ownName}, nil, "(client): no (client)"},
		"command and nodes":     {3, []string{ownName, "a", "b", "b"}, nil, "2 of 3 nodes failed:\n\t(client): no (client)\n\ta: no a\n\tb: no b"},
		"command, and one node": {1, []string{ownName, "a"}, nil, "1 of 1 nodes failed:\n\t(client): no (client)\n\ta: no a"},
		"only node":             {1, []string{"a"}, nil, "a: no a"},
		"command, and response": {3, []string{ownName}, []string{"c"}, "1 of 3 nodes failed:\n\t(client): no (client)\n\tc: lost c"},
	} {
		t.Run(name, func(t *testing.T) {
			o := outcome{of: test.of}
			assert.NoError(t, o.show(func() error { return unwritten(test.unwritten...) }))

			for _, node := range test.unanswered {
				o.add(&client.NodeError{Node: node, Err: errors.New("lost " + node)})
			}

			assert.EqualError(t, o.err(), test.want)
		})
	}
}
