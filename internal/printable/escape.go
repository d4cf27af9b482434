// SPDX-License-Identifier: MPL-2.0

package printable

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Hidden reports whether a character is DEL, or above U+007F and not printable. Encoders do not escape these: terminals obey C1 controls,
// and bidirectional characters let a text look like another one.
func Hidden(r rune) bool { return r == 0x7f || r >= utf8.RuneSelf && !unicode.IsPrint(r) }

// EscapeJSON returns a JSON document with escapes for hidden characters (RFC 8259, section 7). Outside of strings JSON has none.
func EscapeJSON(document string) string {
	return escaped(document, func(r rune) string {
		var text string

		for _, unit := range utf16.Encode([]rune{r}) {
			text += fmt.Sprintf(`\u%04x`, unit)
		}

		return text
	})
}

// EscapeYAML returns a YAML document with escapes for hidden characters (YAML 1.2.2, section 5.7), which must be in double-quoted scalars.
func EscapeYAML(document string) string {
	return escaped(document, func(r rune) string { return fmt.Sprintf(`\U%08x`, r) })
}

func escaped(document string, escape func(rune) string) string {
	if !strings.ContainsFunc(document, Hidden) {
		return document
	}

	var b strings.Builder

	for _, r := range document {
		if Hidden(r) {
			b.WriteString(escape(r))
		} else {
			b.WriteRune(r)
		}
	}

	return b.String()
}
