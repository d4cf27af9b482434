// SPDX-License-Identifier: MPL-2.0

package config

import (
	"encoding"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// nullTag is the tag of a value that is left empty.
const nullTag = "!!null"

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// checkShape compares a document with the type it is read into: unknown fields, fields written twice, and values of the
// wrong kind. Decoding would find these too, but its errors name neither the field nor what is allowed, and it stops at
// the first. A wrong value is removed from the document, so that the rest can be checked. The document has no aliases (expand).
func checkShape(node *yaml.Node, t reflect.Type, field string) Errors {
	// A field without a value keeps its default.
	if node.Kind == yaml.ScalarNode && node.Tag == nullTag {
		return nil
	}

	kind, allowed := yaml.ScalarNode, "a single value"

	switch {
	case reflect.PointerTo(t).Implements(textUnmarshaler):
	case t.Kind() == reflect.Struct, t.Kind() == reflect.Map:
		kind, allowed = yaml.MappingNode, "a mapping"
	case t.Kind() == reflect.Slice:
		kind, allowed = yaml.SequenceNode, "a list"
	}

	if node.Kind != kind {
		wrong := FieldError{Line: node.Line, Field: field, Value: written(node), Allowed: allowed}
		blank(node, t)

		return Errors{wrong}
	}

	switch kind {
	case yaml.MappingNode:
		return checkMapping(node, t, field)
	case yaml.SequenceNode:
		var errs Errors

		for i, item := range node.Content {
			errs = append(errs, checkShape(item, t.Elem(), field+"["+strconv.Itoa(i)+"]")...)
		}

		return errs
	default:
		return checkBool(node, t, field)
	}
}

// checkBool checks a boolean, the one kind of value without a type of its own in this package.
func checkBool(node *yaml.Node, t reflect.Type, field string) Errors {
	if t.Kind() != reflect.Bool || node.Tag == "!!bool" {
		return nil
	}

	wrong := FieldError{Line: node.Line, Field: field, Value: node.Value, Allowed: "true or false"}
	blank(node, t)

	return Errors{wrong}
}

// blank leaves a value at its default. An item of a list stays an item, or the next would be in its place.
func blank(node *yaml.Node, t reflect.Type) {
	if t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(textUnmarshaler) {
		*node = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: node.Line}

		return
	}

	*node = yaml.Node{Kind: yaml.ScalarNode, Tag: nullTag, Line: node.Line}
}

func checkMapping(node *yaml.Node, t reflect.Type, field string) Errors {
	var (
		errs  Errors
		right []*yaml.Node
		lines = map[string]int{}
	)

	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name := strings.TrimPrefix(field+"."+key.Value, ".")

		valueType, known := fieldType(t, key.Value)

		switch before := lines[key.Value]; {
		case !known:
			errs = append(errs, FieldError{Line: key.Line, Field: name, Value: written(value), Allowed: "one of the fields " + fieldNames(t)})

			continue
		case before > 0:
			errs = append(errs, FieldError{
				Line: key.Line, Field: name, Value: written(value), Allowed: "written once, and line " + strconv.Itoa(before) + " has it already",
			})

			continue
		}

		lines[key.Value] = key.Line
		errs = append(errs, checkShape(value, valueType, name)...)
		right = append(right, key, value)
	}

	node.Content = right

	return errs
}

// fieldType returns the type of a struct's field by its name in a document, or of a map's values.
func fieldType(t reflect.Type, name string) (reflect.Type, bool) {
	if t.Kind() == reflect.Map {
		return t.Elem(), true
	}

	for i := range t.NumField() {
		if known, _ := yamlTag(t.Field(i)); known == name {
			return t.Field(i).Type, true
		}
	}

	return nil, false
}

// yamlTag returns a struct field's name in a document, and whether the field is omitted when it is empty.
func yamlTag(field reflect.StructField) (name string, omitted bool) {
	name, _, omitted = strings.Cut(field.Tag.Get("yaml"), ",")

	return name, omitted
}

func fieldNames(t reflect.Type) string {
	names := make([]string, t.NumField())

	for i := range names {
		names[i], _ = yamlTag(t.Field(i))
	}

	return strings.Join(names, ", ")
}

// written returns a value as a person would recognise it.
func written(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return node.Value
	}
}
