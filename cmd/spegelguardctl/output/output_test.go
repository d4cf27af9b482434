// SPDX-License-Identifier: MPL-2.0

package output_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/siderolabs/talos/pkg/machinery/api/common"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

var items = []output.Item{
	{
		Node: "talos-prod-2",
		Value: &guardv1alpha1.Checkup{Metadata: &common.Metadata{Hostname: "hidden"}, Checks: []*guardv1alpha1.Check{
			{Name: "1.0", State: "ok", Message: "yes: \"no\"\nand more"},
		}},
		Rows: []output.Row{{Cells: []string{"throttled", "", "a\nb\x1b[31m"}, Severity: output.Warning}},
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

func TestNew_PrintsTables(t *testing.T) {
	assert.Equal(t, ""+
		"NODE           STATE       MESSAGE\n"+
		"talos-prod-2   throttled   a b[31m\n"+
		"n              ok          x\n", printed(t, "table"), "later rows are aligned, and control characters are removed")
	assert.Equal(t, ""+
		"NODE           STATE       MORE   MESSAGE\n"+
		"talos-prod-2   throttled   -      a b[31m\n"+
		"n              ok          1      x\n", printed(t, "wide"))
}

// TestNew_BoundsCells: the cells of the other rows are padded to the longest one.
func TestNew_BoundsCells(t *testing.T) {
	var out strings.Builder

	p, err := output.New("table", &out, output.Titles("STATE", "MESSAGE"))
	require.NoError(t, err)

	long := output.Row{Cells: []string{strings.Repeat("x", 1<<20), "m"}}
	require.NoError(t, p.Print(output.Item{Node: "bad", Rows: []output.Row{long}}, output.Item{Node: "good", Rows: []output.Row{{Cells: []string{"ok", "m"}}}}))
	assert.Less(t, out.Len(), 16<<10)
	assert.Contains(t, out.String(), "x...")
}

func TestNew_PrintsDocuments(t *testing.T) {
	assert.Equal(t, `{
    "node": "talos-prod-2",
    "checks": [
        {
            "name": "1.0",
            "state": "ok",
            "message": "yes: \"no\"\nand more",
            "fix": ""
        }
    ]
}
{
    "node": "n"
}
`, printed(t, "json"))
	assert.Equal(t, `node: talos-prod-2
checks:
    - name: "1.0"
      state: ok
      message: |-
        yes: "no"
        and more
      fix: ""
---
node: n
`, printed(t, "yaml"))
	assert.Equal(t, "talos-prod-2 ok\nn \n", printed(t, "jsonpath={.node} {.checks[*].state}"))
}

// TestPrinter_WritesTheOtherItems: an item that cannot be written costs no other one.
func TestPrinter_WritesTheOtherItems(t *testing.T) {
	far := &guardv1alpha1.OverrideResult{Overrides: []*guardv1alpha1.Override{{Until: &timestamppb.Timestamp{Seconds: 1e18}}}}

	for _, test := range []struct{ format, want, err string }{
		{"json", "{\n    \"node\": \"good\"\n}\n", "bad: failed to encode the response: "},
		{"yaml", "node: good\n", "bad: failed to encode the response: "},
		{"jsonpath={.node}", "good\n", "bad: failed to encode the response: "},
	} {
		t.Run(test.format, func(t *testing.T) {
			var out strings.Builder

			p, err := output.New(test.format, &out, nil)
			require.NoError(t, err)

			err = p.Print(output.Item{Node: "bad", Value: far}, output.Item{Node: "good", Value: map[string]any{}})
			assert.Equal(t, test.want, out.String())

			var failed output.ItemErrors

			require.ErrorAs(t, err, &failed)
			require.Len(t, failed, 1)
			assert.Equal(t, "bad", failed[0].Node)
			assert.ErrorContains(t, err, test.err)
		})
	}
}

// TestPrinter_AppliesRangesToEachItem: the library's template serves once, and an error within a range cuts it.
func TestPrinter_AppliesRangesToEachItem(t *testing.T) {
	var out strings.Builder

	p, err := output.New("jsonpath={.node}:{range .list[*]} {.of[0]}{end}", &out, nil)
	require.NoError(t, err)

	item := func(node string, of ...int) output.Item {
		of = append([]int{}, of...) // a list without elements, not null

		return output.Item{Node: node, Value: map[string]any{"list": []any{map[string]any{"of": of}, map[string]any{"of": of}}}}
	}

	err = p.Print(item("a", 1), item("b"), item("c", 3))
	assert.Equal(t, "a: 1 1\nc: 3 3\n", out.String())
	assert.ErrorContains(t, err, "b: failed to apply the template of --output: ")
}

// TestPrinter_KeepsTexts: what is escaped is read as it was.
func TestPrinter_KeepsTexts(t *testing.T) {
	const text = "a\u009b31m\u202ec \U000e0001\x7f é\n\u2028\u0085 \uffffend"

	for format, parse := range map[string]func([]byte, any) error{"json": json.Unmarshal, "yaml": yaml.Unmarshal} {
		t.Run(format, func(t *testing.T) {
			var out strings.Builder

			p, err := output.New(format, &out, nil)
			require.NoError(t, err)
			require.NoError(t, p.Print(output.Item{Node: "n", Value: map[string]any{"text": text}}))

			var read map[string]string

			require.NoError(t, parse([]byte(out.String()), &read), out.String())
			assert.Equal(t, map[string]string{"node": "n", "text": text}, read)
			assert.Contains(t, out.String(), "é")
		})
	}
}

// TestPrinter_WritesNoControlCharacters: a node decides what its texts contain, and a terminal obeys them.
func TestPrinter_WritesNoControlCharacters(t *testing.T) {
	for _, format := range []string{"table", "json", "yaml", "jsonpath={.text}"} {
		t.Run(format, func(t *testing.T) {
			var out strings.Builder

			p, err := output.New(format, &out, output.Titles("TEXT"))
			require.NoError(t, err)

			const text = "a\x1b]0;title\ab\u009b31m\u202ec\U000e0001\x7f"

			require.NoError(t, p.Print(output.Item{Node: "n", Value: map[string]any{"text": text}, Rows: []output.Row{{Cells: []string{text}}}}))
			assert.Contains(t, out.String(), "title")
			assert.False(t, strings.ContainsFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }), "%q", out.String())
		})
	}
}

func TestNew_RefusesUnknownFormats(t *testing.T) {
	for format, want := range map[string]string{
		"xml":         `invalid --output "xml": must be table, wide, yaml, json or jsonpath=TEMPLATE`,
		"jsonpath={.": `invalid --output "jsonpath={.": unclosed action`,
	} {
		t.Run(format, func(t *testing.T) {
			_, err := output.New(format, &strings.Builder{}, nil)
			require.EqualError(t, err, want)
		})
	}
}
