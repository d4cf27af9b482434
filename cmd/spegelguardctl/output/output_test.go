// SPDX-License-Identifier: MPL-2.0

package output_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/siderolabs/talos/pkg/machinery/api/common"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

var items = []output.Item{
	{
		Node:  "talos-prod-2",
		Value: &guardv1alpha1.Status{Metadata: &common.Metadata{Hostname: "hidden"}, State: "throttled", Message: "yes: \"no\"\nand more", Version: "1.0"},
		Rows:  []output.Row{{Cells: []string{"throttled", "", "a\nb\x1b[31m"}, Severity: output.Warning}},
	},
	{Node: "n", Value: map[string]any{}, Rows: []output.Row{{Cells: []string{"ok", "1", "x"}}}},
}

func printed(t *testing.T, format string) string {
	t.Helper()

	var out strings.Builder

	p, err := output.New(format, &out, output.Titles("STATE", "+MORE", "MESSAGE"))
	require.NoError(t, err)

	for _, item := range items {
		require.NoError(t, p.Print(item))
	}

	return out.String()
}

func TestTables(t *testing.T) {
	assert.Equal(t, ""+
		"NODE           STATE       MESSAGE\n"+
		"talos-prod-2   throttled   a b[31m\n"+
		"n              ok          x\n", printed(t, "table"), "rows that come later stay in line, and nothing that a node says reaches the terminal's control")
	assert.Equal(t, ""+
		"NODE           STATE       MORE   MESSAGE\n"+
		"talos-prod-2   throttled   -      a b[31m\n"+
		"n              ok          1      x\n", printed(t, "wide"))
}

func TestStructuredForms(t *testing.T) {
	assert.Equal(t, `{
    "node": "talos-prod-2",
    "state": "throttled",
    "mode": "",
    "message": "yes: \"no\"\nand more",
    "targets": [],
    "version": "1.0",
    "overrides": []
}
{
    "node": "n"
}
`, printed(t, "json"))
	assert.Equal(t, `node: talos-prod-2
state: throttled
mode: ""
message: |-
    yes: "no"
    and more
targets: []
version: "1.0"
overrides: []
---
node: n
`, printed(t, "yaml"))
	assert.Equal(t, "talos-prod-2 throttled\nn \n", printed(t, "jsonpath={.node} {.state}"))
}

func TestWrongFormats(t *testing.T) {
	for format, want := range map[string]string{
		"xml":         `--output "xml" is not allowed, allowed is table, wide, yaml, json or jsonpath=TEMPLATE`,
		"jsonpath={.": `--output jsonpath={. is not allowed: unclosed action`,
	} {
		_, err := output.New(format, &strings.Builder{}, nil)
		require.EqualError(t, err, want)
	}
}
