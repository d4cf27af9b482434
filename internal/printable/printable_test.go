// SPDX-License-Identifier: MPL-2.0

package printable_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/internal/printable"
)

func TestLine(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"plain":             {"cpu 803m above 400m", "cpu 803m above 400m"},
		"other scripts":     {"Knoten-ß 節点 🙂", "Knoten-ß 節点 🙂"},
		"escape sequence":   {"a\x1b[2J\x1b]0;title\x07b", "a[2J]0;titleb"},
		"C1":                {"a\u009b31mb", "a31mb"},
		"bidi":              {"\u202eevil\u202c \u2066x\u2069\u200f", "evil x"},
		"zero width":        {"a\u200bb\ufeff", "ab"},
		"line separators":   {"a\u2028b\u2029c", "a b c"},
		"breaks and blanks": {" a\r\n\tb\v c ", "a b c"},
		"invalid UTF-8":     {"a\xffb\xc3", "a\ufffdb\ufffd"},
		"between blanks":    {"a \x1b b", "a b"},
		"delete":            {"a\x7fb", "ab"},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, printable.Line(test.text)) })
	}
}

func TestLines_KeepsBreaks(t *testing.T) {
	assert.Equal(t, "a[0m\nb", printable.Lines("a\x1b[0m\n b\r"))
}

func TestText_KeepsBlanks(t *testing.T) {
	assert.Equal(t, " a[2J\t b\n\nc d", printable.Text(" a\x1b[2J\t\u202e b\n\r\nc\u2028d"))
}

func TestEscape_LeavesPrintedCharacters(t *testing.T) {
	assert.Equal(t, `{"a": "é 🙂 \u009b\u202e\udb40\udc01\u007f"}`, printable.EscapeJSON("{\"a\": \"é 🙂 \u009b\u202e\U000e0001\x7f\"}"))
	assert.Equal(t, "a: \"é\n\t \\U0000009b\\U000e0001\"", printable.EscapeYAML("a: \"é\n\t \u009b\U000e0001\""))
}

func FuzzLine(f *testing.F) {
	f.Add("a\x1b[2J")
	f.Fuzz(func(t *testing.T, text string) {
		line := printable.Line(text)

		assert.True(t, utf8.ValidString(line))
		assert.False(t, strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }))
		assert.Equal(t, line, printable.Line(line))
	})
}

func TestClip(t *testing.T) {
	for _, test := range []struct {
		name, text, want string
	}{
		{"short", "abc", "abc"},
		{"long", "abcd", "abc..."},
		{"within a character", "abé", "ab..."},
	} {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, printable.Clip(test.text, 3)) })
	}
}
