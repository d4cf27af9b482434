// SPDX-License-Identifier: MPL-2.0

package config

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Setting is one value in force.
type Setting struct {
	// Field as a path: rules[0].threshold.
	Field string
	// Value as a document has it.
	Value string
	// Line of the document it is written in; 0 for a default.
	Line int
}

// Settings are all values of a configuration in the order of the document's fields, and where in the document
// that it was read from each is written.
func Settings(cfg Config, document []byte) ([]Setting, error) {
	effective, err := Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("error writing the configuration: %w", err)
	}

	var all, written yaml.Node

	if err := yaml.Unmarshal(effective, &all); err != nil {
		return nil, fmt.Errorf("error reading back the configuration: %w", err)
	}

	// What cannot be read has no lines: every value is a default then.
	_ = yaml.Unmarshal(document, &written)

	return settings(nil, content(&all), content(&written), ""), nil
}

// content is a document's only value, nil for none.
func content(document *yaml.Node) *yaml.Node {
	if len(document.Content) == 0 {
		return nil
	}

	return document.Content[0]
}

// settings goes through both documents side by side: labels may have dots in their names, so that paths tell nothing.
func settings(found []Setting, node, written *yaml.Node, field string) []Setting {
	if node == nil {
		return found
	}

	for written != nil && written.Kind == yaml.AliasNode {
		written = written.Alias
	}

	switch {
	case node.Kind == yaml.MappingNode && len(node.Content) > 0:
		for i := 0; i+1 < len(node.Content); i += 2 {
			name := node.Content[i].Value
			found = settings(found, node.Content[i+1], childOf(written, name), strings.TrimPrefix(field+"."+name, "."))
		}
	case node.Kind == yaml.SequenceNode:
		for i, item := range node.Content {
			index := "[" + strconv.Itoa(i) + "]"
			found = settings(found, item, childOf(written, index), field+index)
		}
	default:
		setting := Setting{Field: field, Value: node.Value}

		if written != nil && written.Tag != nullTag {
			setting.Line = written.Line
		}

		found = append(found, setting)
	}

	return found
}
