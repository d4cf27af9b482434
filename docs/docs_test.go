// SPDX-License-Identifier: MPL-2.0

// Package docs_test compares the documents with the code.
package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/alerts"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/test/doc"
)

const root = ".."

// all returns README and all documents.
func all(t *testing.T) []doc.Document {
	t.Helper()

	documents, err := doc.All(root)
	require.NoError(t, err)

	return documents
}

// TestLinks_Exist: the files, and the headings of documents.
func TestLinks_Exist(t *testing.T) {
	for _, document := range all(t) {
		for _, link := range document.Links {
			path, heading, _ := strings.Cut(link, "#")
			target := document.Path

			if path != "" {
				target = filepath.Join(filepath.Dir(document.Path), path)
			}

			_, err := os.Stat(target)
			assert.NoError(t, err, "%s links to %s", document.Path, link)

			if heading != "" {
				linked, err := doc.Read(target)
				require.NoError(t, err)
				assert.Contains(t, linked.Anchors, heading, "%s links to %s", document.Path, link)
			}
		}
	}
}

// TestRunbooks_Exist: each alert has a section of operations.md, and each section is of an alert.
func TestRunbooks_Exist(t *testing.T) {
	operations, err := doc.Read("operations.md")
	require.NoError(t, err)

	cfg := config.Default()
	cfg.Metrics.Listen = ":9470"
	cfg.Rules = append(cfg.Rules, config.Rule{Name: "Received", Signal: config.SignalNetworkRX})

	groups, _ := alerts.Groups(cfg, alerts.DefaultOptions())

	var sections []string

	for _, group := range groups {
		for _, rule := range group.Rules {
			address, section, _ := strings.Cut(rule.Annotations["runbook_url"], "#")
			assert.True(t, strings.HasSuffix(address, "/docs/operations.md"), address)
			assert.Contains(t, operations.Anchors, section, "%s has no section in docs/operations.md", rule.Alert)

			sections = append(sections, section)
		}
	}

	for _, anchor := range operations.Anchors {
		if strings.HasPrefix(anchor, "spegel") {
			assert.Contains(t, sections, anchor, "docs/operations.md has a section about no alert")
		}
	}
}

// TestBlocks_HaveKnownPrograms: blocks of commands are marked as such, and a test checks the commands of each program.
func TestBlocks_HaveKnownPrograms(t *testing.T) {
	for _, document := range all(t) {
		for _, block := range document.Blocks {
			assert.Contains(t, []string{"", "sh", "console", "yaml"}, block.Language, document.Path)

			for _, command := range block.Commands() {
				isProgram := doc.Programs[command.Program()] != ""
				assert.Equal(t, block.Language == "sh" || block.Language == "console", isProgram,
					"%s: a block of %q has %q", document.Path, block.Language, command.Line)

				if block.Language != "sh" && block.Language != "console" {
					break
				}
			}
		}
	}
}

func TestMakeTargets_Exist(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)

	for _, document := range all(t) {
		for _, command := range document.Commands() {
			if words := strings.Fields(command.Line); words[0] == "make" {
				assert.Regexp(t, `(?m)^`+regexp.QuoteMeta(words[1])+`:`, string(makefile), "%s: %s", document.Path, command.Line)
			}
		}
	}
}

var (
	packages = regexp.MustCompile(`\./[\w/.]+`)
	patterns = regexp.MustCompile(`-run[ =]'?([\w|]+)'?`)
)

func TestGoCommands_NamePackagesAndTests(t *testing.T) {
	for _, document := range all(t) {
		for _, command := range document.Commands() {
			if command.Program() != "go" {
				continue
			}

			paths := packages.FindAllString(command.Line, -1)
			require.NotEmpty(t, paths, command.Line)

			for _, path := range paths {
				assert.DirExists(t, filepath.Join(root, strings.TrimSuffix(path, "...")), "%s: %s", document.Path, command.Line)
			}

			if match := patterns.FindStringSubmatch(command.Line); match != nil {
				assertTest(t, filepath.Join(root, paths[len(paths)-1]), match[1], command.Line)
			}
		}
	}
}

func assertTest(t *testing.T, dir, pattern, line string) {
	t.Helper()

	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)

	found := slices.ContainsFunc(files, func(path string) bool {
		source, err := os.ReadFile(path)

		return err == nil && regexp.MustCompile(`(?m)^func \w*(`+pattern+`)\w*\(t`).Match(source)
	})
	assert.True(t, found, "no test matches the pattern of %s", line)
}

// TestSpans_NameExistingTests: every test that a document names exists.
func TestSpans_NameExistingTests(t *testing.T) {
	source := allTests(t)

	for _, document := range all(t) {
		for _, span := range document.Spans {
			if regexp.MustCompile(`^Test[A-Z]\w+$`).MatchString(span) {
				assert.Contains(t, source, "func "+span+"(", document.Path)
			}
		}
	}
}

func allTests(t *testing.T) string {
	t.Helper()

	var source strings.Builder

	require.NoError(t, filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}

		text, err := os.ReadFile(path)
		source.Write(text)

		return err
	}))

	return source.String()
}

func TestConfigurations_AreValid(t *testing.T) {
	for _, document := range all(t) {
		for _, block := range document.Blocks {
			// The others are of Prometheus and Kubernetes.
			if block.Language == "yaml" && !regexp.MustCompile(`^(scrape_configs:|kind: HelmRelease\b.*\n|apiVersion: (v1|monitoring.*)\n)`).MatchString(block.Text) {
				_, err := config.Parse([]byte(block.Text))
				assert.NoError(t, err, document.Path)
			}
		}
	}
}

// TestScrapeConfiguration_PassesPromtool: Prometheus accepts the scrape configurations of the documents.
func TestScrapeConfiguration_PassesPromtool(t *testing.T) {
	promtool := os.Getenv("SPEGEL_GUARD_PROMTOOL")
	if promtool == "" {
		t.Skip("SPEGEL_GUARD_PROMTOOL is not set: make test-cli")
	}

	found := 0

	for _, document := range all(t) {
		for _, block := range document.Blocks {
			if !strings.HasPrefix(block.Text, "scrape_configs:") {
				continue
			}

			path := filepath.Join(t.TempDir(), "prometheus.yml")
			// Debian's promtool is built without service discovery of Kubernetes.
			text := strings.ReplaceAll(block.Text, "kubernetes_sd_configs:\n  - role: node\n", "static_configs: [{targets: [node]}]\n")
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))

			output, err := exec.CommandContext(t.Context(), promtool, "check", "config", "--syntax-only", path).CombinedOutput()
			assert.NoError(t, err, "%s: %s", document.Path, output)

			found++
		}
	}

	assert.NotZero(t, found)
}

// TestReferences_AreUpToDate: make generate would not change the generated documents.
func TestReferences_AreUpToDate(t *testing.T) {
	out := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "run", "./docs/generate", "-out", out)
	cmd.Dir = root

	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)

	for _, name := range []string{"configuration.md", "metrics.md", "margins.md"} {
		want, err := os.ReadFile(filepath.Join(out, name))
		require.NoError(t, err)

		got, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got), "make generate")
	}
}

// TestOperations_ExplainsEachValue: operations.md has each state, condition, state of a ceiling and action.
func TestOperations_ExplainsEachValue(t *testing.T) {
	operations, err := doc.Read("operations.md")
	require.NoError(t, err)

	values := constants(t, filepath.Join(root, "pkg/resources"), regexp.MustCompile(`^(State|Reason|Ceiling|Action|Condition)[A-Z]\w*$`))
	require.Greater(t, len(values), 40)

	for _, value := range values {
		// Types of resources are constants with these names, too.
		if !strings.Contains(value, ".spegelguard.dev") {
			assert.Contains(t, operations.Spans, value, "docs/operations.md does not explain %s", value)
		}
	}
}

// constants returns the values of a package's string constants whose names match.
func constants(t *testing.T, dir string, names *regexp.Regexp) []string {
	t.Helper()

	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)

	var values []string

	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)

		ast.Inspect(file, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok {
				return true
			}

			for i, name := range spec.Names {
				if i >= len(spec.Values) || !names.MatchString(name.Name) {
					continue
				}

				if literal, ok := spec.Values[i].(*ast.BasicLit); ok && literal.Kind == token.STRING {
					value, err := strconv.Unquote(literal.Value)
					require.NoError(t, err)

					values = append(values, value)
				}
			}

			return true
		})
	}

	return values
}
