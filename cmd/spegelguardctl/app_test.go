// SPDX-License-Identifier: MPL-2.0

package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestCompletes_WordsOnly: a node's ids come to the terminal through the shell.
func TestCompletes_WordsOnly(t *testing.T) {
	for id, want := range map[string]bool{
		"spegel/spegel-1x7k2/registry": true,
		"a\x1b]0;x\x07":                false,
		"_activeHelp_ x":               false,
		"_activeHelp_\x1b]52;c;eA\x07": false,
		"a\tb":                         false,
		"a b":                          false,
		"a\nb":                         false,
		"":                             false,

		strings.Repeat("x", maxCompletion):   true,
		strings.Repeat("x", maxCompletion+1): false,
	} {
		assert.Equal(t, want, completes(id), "%q", id)
	}
}
