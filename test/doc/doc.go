// SPDX-License-Identifier: MPL-2.0

// Package doc parses the project's documents: blocks of commands with their output, code spans and links.
package doc

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// Block is a fenced block of code.
type Block struct {
	// Language after the fence: console, sh, yaml, or nothing.
	Language string
	// Stage is the name in a comment before the block: <!-- loop: throttled -->.
	Stage string
	Text  string
}

// Command is a command line and its output.
type Command struct {
	Line, Output string
}

// Document is a Markdown file.
type Document struct {
	Path   string
	Blocks []Block
	// Links to files of the repository.
	Links []string
	// Spans of code in sentences.
	Spans []string
	// Anchors of headings, as GitHub makes them.
	Anchors []string
}

// All reads README and all documents in docs below the root of the project.
func All(root string) ([]Document, error) {
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return nil, err
	}

	var all []Document

	for _, path := range append([]string{filepath.Join(root, "README.md")}, paths...) {
		document, err := Read(path)
		if err != nil {
			return nil, err
		}

		all = append(all, document)
	}

	return all, nil
}

// Program returns the first word of a command.
func (c Command) Program() string {
	program, _, _ := strings.Cut(c.Line, " ")

	return program
}

// Words splits a line at spaces outside of double quotes.
func Words(line string) []string {
	var found []string

	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			found = append(found, part)
		} else {
			found = append(found, strings.Fields(part)...)
		}
	}

	return found
}

// Commands returns the commands of all blocks, and the spans that begin with a known program and have arguments.
func (d Document) Commands() []Command {
	var commands []Command

	for _, block := range d.Blocks {
		if block.Language == "sh" || block.Language == "console" {
			commands = append(commands, block.Commands()...)
		}
	}

	for _, span := range d.Spans {
		if command := (Command{Line: span}); Programs[command.Program()] != "" && command.Program() != span {
			commands = append(commands, command)
		}
	}

	return commands
}

// Programs has the programs of commands in documents, and the tests that run or check them.
var Programs = map[string]string{
	"make":           "docs: the target must exist",
	"go":             "docs: packages and tests must exist",
	"spegelguardctl": "cmd/spegelguardctl: run against a fleet",
	"talosctl":       "service/internal/api: get is run, flags of other commands are compared with the help; test/e2e runs the commands of README",
	"spegel-guard":   "extension and service: tests of restore and config validate",
	"docker":         "not checked: the tests cannot pull images",
	"crane":          "not checked: the tests have no registry",
}

var stage = regexp.MustCompile(`^<!-- loop: (.*) -->`)

// Read reads a Markdown file.
func Read(path string) (Document, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return Document{}, fmt.Errorf("failed to read a document: %w", err)
	}

	document := Document{Path: path}
	root := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))

	err = ast.Walk(root, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}

		switch n := node.(type) {
		case *ast.FencedCodeBlock:
			document.Blocks = append(document.Blocks, Block{
				Language: string(n.Language(source)), Stage: stageBefore(n, source), Text: string(n.Lines().Value(source)),
			})
		case *ast.CodeSpan:
			document.Spans = append(document.Spans, strings.Join(strings.Fields(string(n.Text(source))), " ")) //nolint:staticcheck // a span is text alone
		case *ast.Heading:
			document.Anchors = append(document.Anchors, anchor(string(n.Lines().Value(source))))
		case *ast.Link:
			if target := string(n.Destination); !strings.Contains(target, "://") {
				document.Links = append(document.Links, target)
			}
		}

		return ast.WalkContinue, nil
	})

	return document, err
}

var punctuation = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

// anchor returns the fragment of a heading's address.
func anchor(heading string) string {
	return strings.ReplaceAll(punctuation.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), ""), " ", "-")
}

func stageBefore(node ast.Node, source []byte) string {
	comment, ok := node.PreviousSibling().(*ast.HTMLBlock)
	if !ok {
		return ""
	}

	if match := stage.FindSubmatch(comment.Lines().Value(source)); match != nil {
		return string(match[1])
	}

	return ""
}

// Commands returns the commands of the block. In a console block they begin with "$ " and their output follows. In other blocks
// each line is a command, and a backslash at its end continues it.
func (b Block) Commands() []Command {
	var commands []Command

	lines := strings.ReplaceAll(b.Text, "\\\n", " ")

	for line := range strings.Lines(lines) {
		line = strings.TrimRight(line, "\n")
		typed, isCommand := strings.CutPrefix(line, "$ ")

		switch {
		case b.Language == "console" && !isCommand:
			if len(commands) > 0 {
				commands[len(commands)-1].Output += line + "\n"
			}
		case isCommand:
			commands = append(commands, Command{Line: typed})
		default:
			if line = withoutComment(line); line != "" {
				commands = append(commands, Command{Line: line})
			}
		}
	}

	return commands
}

// withoutComment removes the comment of a line.
func withoutComment(line string) string {
	if before, _, ok := strings.Cut(line, " # "); ok {
		line = before
	}

	if strings.HasPrefix(strings.TrimSpace(line), "#") {
		return ""
	}

	return strings.TrimSpace(line)
}

var (
	identifiers = regexp.MustCompile(`\b[0-9a-f]{12,}\b`)
	durations   = regexp.MustCompile(`\b([0-9.]+(h|ms|m|s|µs))+\b`)
	numbers     = regexp.MustCompile(`[0-9]+(\.[0-9]+)?`)
	units       = regexp.MustCompile(`# [kMG]?B`)
	spaces      = regexp.MustCompile(`[ \t]+`)
)

// Alike replaces what differs between runs: figures, times, ids and the width of columns. Outputs with equal results are
// equivalent.
func Alike(output string) string {
	output = identifiers.ReplaceAllString(output, "ID")
	output = durations.ReplaceAllString(output, "#")
	output = numbers.ReplaceAllString(output, "#")
	output = units.ReplaceAllString(output, "# B")

	var lines []string

	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(spaces.ReplaceAllString(line, " ")); line != "" {
			lines = append(lines, line)
		}
	}

	return strings.Join(lines, "\n")
}
