// SPDX-License-Identifier: MPL-2.0

package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// MaxDocument is the longest document in bytes. A real one has a few kilobytes.
const MaxDocument = 1 << 20

// Parse reads a document strictly and fills in the defaults of the fields it leaves out. An empty document is the
// defaults; lists and maps replace their default as a whole. The error is an Errors value that names every wrong field
// at once, or the reason why the document cannot be read as YAML.
func Parse(document []byte) (Config, error) {
	switch {
	case len(document) > MaxDocument:
		return Config{}, fmt.Errorf("failed to read the document: it has %d bytes, at most %d are allowed", len(document), MaxDocument)
	case !utf8.Valid(document):
		return Config{}, errors.New("failed to read the document: it is not UTF-8 text")
	}

	cfg := Default()
	defaults := Default()

	// A default map would be added to, not replaced.
	cfg.Target.PodLabels, cfg.Rules = nil, nil

	var root yaml.Node

	decoder := yaml.NewDecoder(bytes.NewReader(document))

	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF):
		return defaults, nil
	case err != nil:
		return Config{}, yamlError(err)
	}

	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("failed to parse YAML: there is more than one document, exactly one " + Kind + " is allowed")
	}

	if len(root.Content) == 0 {
		return defaults, nil
	}

	if err := expand(&root, new(int)); err != nil {
		return Config{}, err
	}

	misshapen := checkShape(root.Content[0], reflect.TypeFor[Config](), "")

	if err := root.Decode(&cfg); err != nil {
		return Config{}, yamlError(err)
	}

	if cfg.Target.PodLabels == nil {
		cfg.Target.PodLabels = defaults.Target.PodLabels
	}

	if cfg.Rules == nil {
		cfg.Rules = defaults.Rules
	}

	for i := range cfg.Rules {
		if cfg.Rules[i].Window == (Duration{}) {
			cfg.Rules[i].Window = defaults.Rules[0].Window
		}
	}

	if errs := slices.Concat(misshapen, located(&root, validate(cfg), misshapen)); len(errs) > 0 {
		slices.SortStableFunc(errs, func(a, b FieldError) int { return cmp.Compare(a.Line, b.Line) })

		return Config{}, errs
	}

	return cfg, nil
}

// yamlError returns an error of the YAML parser in one line.
func yamlError(err error) error {
	return fmt.Errorf("failed to parse YAML: %s", strings.Join(strings.Fields(err.Error()), " "))
}

// located adds the lines of wrong values. Errors below a list item of the wrong shape are left out, because they only
// follow from that; other fields of the wrong shape have their defaults.
func located(root *yaml.Node, wrong, misshapen Errors) Errors {
	var errs Errors

	for _, err := range wrong {
		follows := slices.ContainsFunc(misshapen, func(e FieldError) bool {
			return strings.HasSuffix(e.Field, "]") && strings.HasPrefix(err.Field, e.Field+".")
		})

		if !follows {
			err.Line = lineOf(root, err.Field)
			errs = append(errs, err)
		}
	}

	return errs
}

// Marshal returns the document that Parse reads back to the same value.
func Marshal(cfg Config) ([]byte, error) {
	return yaml.Marshal(cfg)
}

// lineOf returns the line that a field such as rules[1].for is written in, or 0 when the document leaves it out.
func lineOf(node *yaml.Node, field string) int {
	if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
		node = node.Content[0]
	}

	line := 0

	for part := range strings.SplitSeq(strings.ReplaceAll(field, "[", ".["), ".") {
		child := childOf(node, part)
		if child == nil {
			return line
		}

		node, line = child, child.Line
	}

	return line
}

// childOf returns a field of a mapping, or the item [1] of a list; nil when there is none.
func childOf(node *yaml.Node, part string) *yaml.Node {
	if node == nil {
		return nil
	}

	var index int

	if _, err := fmt.Sscanf(part, "[%d]", &index); err == nil {
		if node.Kind == yaml.SequenceNode && index < len(node.Content) {
			return node.Content[index]
		}

		return nil
	}

	if node.Kind != yaml.MappingNode {
		return nil
	}

	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == part {
			return node.Content[i+1]
		}
	}

	return nil
}
