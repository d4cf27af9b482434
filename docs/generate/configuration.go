// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// reference is the table of the configuration's fields, from the code.
type reference struct {
	// structs of the package, and their comments, by name.
	structs  map[string]*ast.StructType
	about    map[string]string
	defaults map[string]string
	rows     []string
}

// impossible is invalid in every field that is checked.
const impossible = "~"

func configuration(dir string) (string, error) {
	r := reference{structs: map[string]*ast.StructType{}, about: map[string]string{}, defaults: map[string]string{}}

	if err := r.read(dir); err != nil {
		return "", err
	}

	for _, s := range config.Settings(config.Default(), nil) {
		r.defaults[s.Field] = s.Value

		if labels, _, ok := strings.Cut(s.Field, "podLabels."); ok {
			r.defaults[labels+"podLabels"] = strings.TrimPrefix(s.Field, labels+"podLabels.") + ": " + s.Value
		}
	}

	r.fields("Config", "")

	return `# Configuration

Generated from pkg/config by ` + "`make generate`" + `: the comments, the defaults, and the bounds as the parser names them.

The document is ` + "`" + config.Path + "`" + `, on Talos a file of the ` + "`ExtensionServiceConfig`" + ` named ` + "`" + config.ServiceName + "`" + `. What it leaves
out keeps its default; lists and maps are replaced as a whole. ` + "`spegelguardctl config validate FILE`" + ` lists every error with its
line, and so does the guard when it starts. [rules.md](rules.md) has the defaults as a document.

For fields of a rule the column "allowed" has the bounds of the signal cpu. Some bounds depend on other fields and are shown for the defaults:
ceiling.cpu is at least ceiling.floor, ceiling.backoff.max at least ceiling.hold, and rules[].window at least two intervals and 1s.
There are 1..16 rules; target.podLabels has at least one label, and target.container and target.process are not empty. metrics.listen has
another port than api.listen, and api.forward needs api.tls.source talos.
ceiling.probe and evidence.profile may also be 0s. If an enforced rule reads the signal allocation, ceiling.probe is at
least 5 times target.metrics.interval, or interval if that is longer: the readings in a probe then cover at least half of it. That is
not checked without application metrics (target.metrics.port 0).

| field | default | allowed | meaning |
| --- | --- | --- | --- |
` + strings.Join(r.rows, "") + `
## Signals

| signal | unit | threshold | what it measures |
| --- | --- | --- | --- |
` + strings.Join(signals(), ""), nil
}

// signals returns the rows of the table of signals.
func signals() []string {
	var rows []string

	for _, signal := range policy.Signals() {
		threshold := allowed("rules[].threshold", fmt.Sprintf("rules: [{name: A, signal: %s, threshold: %q}]", signal, impossible))
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |\n", signal, signal.Unit().Name(), threshold, signal.About()))
	}

	return rows
}

// read parses the package's files.
func (r *reference) read(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}

	for _, path := range files {
		source, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("failed to read the configuration's code: %w", err)
		}

		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.ParseComments)
		if err != nil {
			return fmt.Errorf("failed to parse the configuration's code: %w", err)
		}

		ast.Inspect(file, func(node ast.Node) bool {
			if spec, ok := node.(*ast.TypeSpec); ok {
				if fields, ok := spec.Type.(*ast.StructType); ok {
					r.structs[spec.Name.Name] = fields
				}
			}

			if decl, ok := node.(*ast.GenDecl); ok && len(decl.Specs) == 1 {
				if spec, ok := decl.Specs[0].(*ast.TypeSpec); ok {
					r.about[spec.Name.Name] = inOneLine(decl.Doc.Text())
				}
			}

			return true
		})
	}

	return nil
}

// fields goes through a struct. One without fields in the document is a value.
func (r *reference) fields(name, path string) {
	for _, field := range r.structs[name].Fields.List {
		key := keyOf(field)
		if key == "" {
			continue
		}

		at := strings.TrimPrefix(path+"."+key, ".")
		about := inOneLine(field.Doc.Text())
		kind := typeName(field.Type)

		if _, list := field.Type.(*ast.ArrayType); list {
			at += "[]"
		}

		if nested := r.structs[kind]; nested != nil && hasKeys(nested) {
			if about == "" {
				about = r.about[kind]
			}

			r.row(at, "", "", about)
			r.fields(kind, at)

			continue
		}

		r.row(at, r.defaults[at], allowed(at, wrong(at)), about)
	}
}

func (r *reference) row(field, value, allowed, about string) {
	if value != "" {
		value = "`" + value + "`"
	}

	escape := strings.NewReplacer("|", `\|`, "\n", " ").Replace

	r.rows = append(r.rows, fmt.Sprintf("| `%s` | %s | %s | %s |\n", field, value, escape(allowed), escape(about)))
}

func keyOf(field *ast.Field) string {
	if field.Tag == nil {
		return ""
	}

	key, _, _ := strings.Cut(reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("yaml"), ",")

	return key
}

func hasKeys(fields *ast.StructType) bool {
	for _, field := range fields.Fields.List {
		if keyOf(field) != "" {
			return true
		}
	}

	return false
}

func typeName(expr ast.Expr) string {
	switch t := expr.(type) {
	case *ast.Ident:
		return t.Name
	case *ast.ArrayType:
		return typeName(t.Elt)
	default:
		return ""
	}
}

func inOneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// allowed returns what the parser allows in a field, by a document in which the field is wrong.
func allowed(field, document string) string {
	_, err := config.Parse([]byte(document))

	var mistakes config.Errors
	if !errors.As(err, &mistakes) {
		return ""
	}

	for _, m := range mistakes {
		if strings.ReplaceAll(m.Field, "[0]", "[]") == field {
			// CEL's error about this value is no bound.
			text, _, _ := strings.Cut(m.Allowed, " (ERROR")

			return text
		}
	}

	return ""
}

// wrong returns a document in which a field has an impossible value, with the other fields that it needs to be checked.
func wrong(field string) string {
	name, inRule := strings.CutPrefix(field, "rules[].")

	baseline, inBaseline := strings.CutPrefix(name, "baseline.")

	switch credit, inCredit := strings.CutPrefix(name, "credit."); {
	case inBaseline:
		return fmt.Sprintf("rules: [{name: A, signal: cpu, threshold: 400m, baseline: {%s: %q}}]", baseline, impossible)
	case inCredit:
		return fmt.Sprintf("rules: [{name: A, signal: cpu, credit: {%s: %q}}]", credit, impossible)
	case inRule:
		return fmt.Sprintf("rules: [{%s: %q}]", name, impossible)
	}

	names := strings.Split(field, ".")
	text := fmt.Sprintf("%q", impossible)

	for i := len(names) - 1; i >= 0; i-- {
		beside := ""
		// Paths are checked when they are used.
		if i > 0 && names[i-1] == "tls" && names[i] != "source" {
			beside = "source: files, "
		}

		text = fmt.Sprintf("{%s%s: %s}", beside, names[i], text)
	}

	return text
}
