// SPDX-License-Identifier: MPL-2.0

// Package printable makes text of nodes safe for a terminal: a node, or a container on it, decides what its names and messages
// contain.
package printable

import (
	"strings"
	"unicode"
)

// Line returns the text as one line of printable characters. It drops control characters (C0, C1), bidirectional and other
// format characters, replaces invalid UTF-8 with U+FFFD, and joins words with single blanks.
func Line(text string) string {
	printable := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return -1
		}

		return r
	}, text)

	return strings.Join(strings.Fields(printable), " ")
}

// Text returns the text without control and format characters. Blanks, tabs and line feeds stay as they are, a carriage return is dropped,
// and any other space, such as U+00A0, is a blank.
func Text(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r), r == '\t', r == '\n':
			return r
		case unicode.IsSpace(r) && !unicode.IsControl(r):
			return ' '
		default:
			return -1
		}
	}, text)
}

// Lines returns the text with each of its lines as Line returns it.
func Lines(text string) string {
	lines := strings.Split(text, "\n")

	for i := range lines {
		lines[i] = Line(lines[i])
	}

	return strings.Join(lines, "\n")
}

// MaxText bounds a text of a node in the output, in bytes: a node decides how long it is.
const MaxText = 4096

// Clip returns text, or its beginning of at most so many bytes with an ellipsis after it.
func Clip(text string, most int) string {
	if len(text) <= most {
		return text
	}

	return strings.ToValidUTF8(text[:most], "") + "..."
}
