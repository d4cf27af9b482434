// SPDX-License-Identifier: MPL-2.0

package support

import (
	"archive/zip"
	"cmp"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// Bundle is the archive being written.
type Bundle struct {
	zip  *zip.Writer
	now  time.Time
	text strings.Builder
}

// NewBundle returns a bundle that is written to w as a ZIP archive.
func NewBundle(w io.Writer, now time.Time) *Bundle { return &Bundle{zip: zip.NewWriter(w), now: now} }

// Add writes a node's files into a directory with its name, or err when there are none.
func (b *Bundle) Add(node string, files []File, err error) error {
	if err != nil {
		files = []File{failed("node", err)}
	}

	fmt.Fprintf(&b.text, "%s: %d files\n", node, len(files))

	for _, file := range files {
		if err := b.write(element(node)+"/"+clean(file.Path), file.Data); err != nil {
			return err
		}
	}

	return nil
}

// Close completes the archive with a table of contents.
func (b *Bundle) Close(version string) error {
	head := fmt.Sprintf("spegelguardctl %s, %s\n", version, b.now.UTC().Format(time.RFC3339))

	if err := b.write("contents.txt", []byte(head+b.text.String())); err != nil {
		return err
	}

	if err := b.zip.Close(); err != nil {
		return fmt.Errorf("failed to write the archive: %w", err)
	}

	return nil
}

func (b *Bundle) write(path string, data []byte) error {
	w, err := b.zip.CreateHeader(&zip.FileHeader{Name: path, Method: zip.Deflate, Modified: b.now})
	if err == nil {
		_, err = w.Write(Redact(data))
	}

	if err != nil {
		return fmt.Errorf("failed to write %s to the archive: %w", path, err)
	}

	return nil
}

var special = regexp.MustCompile(`[^A-Za-z0-9._-]|\.{2,}`)

// element returns a name of a node, or of one of its types, as an element of a path in the archive.
func element(name string) string {
	return cmp.Or(strings.TrimLeft(special.ReplaceAllString(name, "_"), "."), "_")
}

// clean returns a path with each of its elements cleaned, so that it stays in the folder of its node.
func clean(path string) string {
	elements := strings.Split(path, "/")

	for i := range elements {
		elements[i] = element(elements[i])
	}

	return strings.Join(elements, "/")
}

const words = `(?:password|passwd|passphrase|pwd|token|secret|api[_-]?key|access[_-]?key|private[_-]?key)`

const (
	// assigned matches a name like a secret's up to its value, in YAML, JSON, variables and flags.
	assigned = `(?i)(` + words + `\\?["']?[ \t]*[:=][ \t]*)`
	// flagged matches such a flag up to its value in the next argument.
	flagged = `(?i)(--?[\w-]*` + words + `\s+)`
)

// Secrets by their forms: private keys in PEM (on several lines, or with \n in a JSON string) and in base64 as
// talosconfigs have them, passwords in URLs, JSON web tokens, and values of what is named like
// a secret.
var secrets = []struct {
	form *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)`), "[private key left out]"},
	{regexp.MustCompile(`LS0tLS1CRUdJTi[A-Za-z0-9+/=]{40,}`), "[PEM in base64 left out]"},
	{regexp.MustCompile(`(://[^/\s:@"]*):[^/\s@"]+@`), "$1:[left out]@"},
	{regexp.MustCompile(`(?i)\b(authorization"?\s*[:=]\s*"?)(bearer |basic )?[^\s",]+`), "$1[left out]"},
	{regexp.MustCompile(assigned + `\\"(?:[^"\\]|\\[^"])*\\"`), `$1\"[left out]\"`},
	{regexp.MustCompile(assigned + `"(?:[^"\\\n]|\\.)*(?:"|\n|\z)`), `$1"[left out]"`},
	// YAML doubles the quotation marks in a quoted text.
	{regexp.MustCompile(assigned + `''[^'\n]+''`), `$1''[left out]''`},
	{regexp.MustCompile(assigned + `'[^']+'`), `$1'[left out]'`},
	{regexp.MustCompile(assigned + `[^\s"'\\,}][^\s",}]*`), "$1[left out]"},
	{regexp.MustCompile(flagged + `(?:"[^"]*"|''[^'\n]+''|'[^']*'|[^\s"'\\,}][^\s",}]*)`), "$1[left out]"},
	{regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`), "[JWT left out]"},
}

// Redact replaces secrets in a text.
func Redact(text []byte) []byte {
	for _, secret := range secrets {
		text = secret.form.ReplaceAll(text, []byte(secret.with))
	}

	return text
}
