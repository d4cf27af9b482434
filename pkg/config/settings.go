// SPDX-License-Identifier: MPL-2.0

package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
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

// Settings returns all values of a configuration in the order of the document's fields, each with the line of the
// document that it was read from.
func Settings(cfg Config, document []byte) []Setting {
	var written yaml.Node

	// In a document that cannot be read no value has a line.
	if yaml.Unmarshal(document, &written) != nil || expand(&written, new(int)) != nil {
		written = yaml.Node{}
	}

	return settings(nil, reflect.ValueOf(cfg), content(&written), "")
}

// content returns a document's only value, nil for none.
func content(document *yaml.Node) *yaml.Node {
	if len(document.Content) == 0 {
		return nil
	}

	return document.Content[0]
}

// settings goes through the configuration and the document side by side: labels may have dots in their names, so
// a path alone would be ambiguous.
func settings(found []Setting, value reflect.Value, node *yaml.Node, field string) []Setting {
	text, isText := value.Interface().(encoding.TextMarshaler)

	switch {
	case isText:
		// The types of this package return no error.
		data, _ := text.MarshalText()

		return append(found, setting(field, string(data), node))
	case value.Kind() == reflect.Struct:
		for i := range value.NumField() {
			name, omitted := yamlTag(value.Type().Field(i))
			if !omitted || !value.Field(i).IsZero() {
				found = settings(found, value.Field(i), childOf(node, name), strings.TrimPrefix(field+"."+name, "."))
			}
		}
	case value.Kind() == reflect.Map:
		keys := value.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })

		for _, key := range keys {
			found = settings(found, value.MapIndex(key), childOf(node, key.String()), field+"."+key.String())
		}
	case value.Kind() == reflect.Slice:
		for i := range value.Len() {
			index := "[" + strconv.Itoa(i) + "]"
			found = settings(found, value.Index(i), childOf(node, index), field+index)
		}
	default:
		return append(found, setting(field, fmt.Sprint(value.Interface()), node))
	}

	return found
}

func setting(field, value string, node *yaml.Node) Setting {
	if node == nil || node.Tag == nullTag {
		return Setting{Field: field, Value: value}
	}

	return Setting{Field: field, Value: value, Line: node.Line}
}
