// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFailures_PrintsAssertionsAgain: two failed assertions are printed again, without the rest of a long message.
func TestFailures_PrintsAssertionsAgain(t *testing.T) {
	var (
		out, end bytes.Buffer
		kept     failures
	)

	watched := kept.watch(&out)

	output := `=== RUN   TestA
    a_test.go:12: peer: 0.3 of 0.8 cores
    a_test.go:13: 
        	Error Trace:	/tests/a_test.go:13
        	Error:      	Not equal: 
        	Test:       	TestA
    a_test.go:14: 
        	Error Trace:	/tests/a_test.go:14
        	Error:      	verdict
        	Test:       	TestA
        	Messages:   	not within 2m0s
` + strings.Repeat("        \t            \ta line of the log\n", 100) + `    main_test.go:111: --- guard ---
        {"level":"info"}
--- FAIL: TestA (1.00s)
FAIL
`

	for line := range strings.Lines(output) {
		_, err := fmt.Fprint(watched, line)
		require.NoError(t, err)
	}

	kept.print(&end)

	assert.Equal(t, output, out.String(), "the output is copied")
	assert.Equal(t, "\nfailed assertions: 2\n"+
		"        \tError Trace:\t/tests/a_test.go:13\n        \tError:      \tNot equal: \n        \tTest:       \tTestA\n\n"+
		"        \tError Trace:\t/tests/a_test.go:14\n        \tError:      \tverdict\n        \tTest:       \tTestA\n        \tMessages:   \tnot within 2m0s\n"+
		strings.Repeat("        \t            \ta line of the log\n", maxLines-4)+"\n", end.String())
}

// TestFailures_AtTheEnd: an assertion within which the guest has ended is printed, and a run that has passed has no empty list.
func TestFailures_AtTheEnd(t *testing.T) {
	for _, test := range []struct{ name, output, printed string }{
		{
			"unfinished assertion", "        \tError Trace:\t/tests/a_test.go:13\n",
			"\nfailed assertions: 1\n        \tError Trace:\t/tests/a_test.go:13\n\n",
		},
		{"without failure", "--- PASS: TestA (1.00s)\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var (
				out, end bytes.Buffer
				kept     failures
			)

			fmt.Fprint(kept.watch(&out), test.output)
			kept.print(&end)
			assert.Equal(t, test.printed, end.String())
		})
	}
}
