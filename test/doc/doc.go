// SPDX-License-Identifier: MPL-2.0

// Package doc reads the project's documents the way its readers do: the blocks of commands in them, what the
// commands are said to print, and where links lead.
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
	// Stage is what the comment right before the block says: <!-- loop: throttled -->.
	Stage string
	Text  string
}

// Command is one line that a reader would type, and what is printed below it.
type Command struct {
	Line, Output string
}

// Document is a file.
type Document struct {
	Path   string
	Blocks []Block
	// Links that do not leave the repository.
	Links []string
	// Spans of code within a sentence.
	Spans []string
}

// All are README and every document of the project, given its root.
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

// Program is the first word of a command.
func (c Command) Program() string {
	program, _, _ := strings.Cut(c.Line, " ")

	return program
}

// Words takes a line apart; quotes hold words together.
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

// Commands are those of all its blocks of commands, and the spans of which program is the first word of several.
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

// Programs are those that documents may tell readers to run, and what runs or checks the commands.
var Programs = map[string]string{
	"make":           "docs: the target exists",
	"go":             "docs: the package exists, and the tests that are named",
	"spegelguardctl": "cmd/spegelguardctl, TestWhatTheDocsSay: run against a fleet",
	"talosctl":       "service/internal/api, TestWhatTheDocsSay: gets are run, of others the flags are compared with its help; README's in the test machine",
	"spegel-guard":   "docs: restore and config validate, which tests of their own run",
	"docker":         "nothing: no image can be pulled where this is tested",
	"crane":          "nothing: there is no registry where this is tested",
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
		case *ast.Link:
			if target := string(n.Destination); !strings.Contains(target, "://") {
				document.Links = append(document.Links, target)
			}
		}

		return ast.WalkContinue, nil
	})

	return document, err
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

// Commands are the block's. In a console block they begin with "$ ", and what follows is their output; in others
// each line is one, and a backslash at its end goes on.
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

// withoutComment leaves out what explains a command.
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

// Alike is a text without what differs from run to run: figures, times, ids, and how wide columns are. Two outputs
// that are alike say the same.
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
