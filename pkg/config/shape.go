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

// checkShape compares a document with the type it is read into: unknown fields, fields written twice, and
// values of the wrong kind. Decoding would find these too, but names neither the field nor what is allowed,
// and stops there. What is wrong is taken out of the document, so that the rest can be checked as well.
func checkShape(node *yaml.Node, t reflect.Type, field string) Errors {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}

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

// checkBool is for the one kind of value that has no type of its own in this package.
func checkBool(node *yaml.Node, t reflect.Type, field string) Errors {
	if t.Kind() != reflect.Bool || node.Tag == "!!bool" {
		return nil
	}

	wrong := FieldError{Line: node.Line, Field: field, Value: node.Value, Allowed: "true or false"}
	blank(node, t)

	return Errors{wrong}
}

// blank leaves a value at its default. An item of a list must stay one, or the next would take its place.
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
				Line: key.Line, Field: name, Value: written(value), Allowed: "one value; it is already defined on line " + strconv.Itoa(before),
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

// fieldType is the type of a struct's field by its name in a document, or of a map's values.
func fieldType(t reflect.Type, name string) (reflect.Type, bool) {
	if t.Kind() == reflect.Map {
		return t.Elem(), true
	}

	found, ok := yamlFields(t)[name]

	return found, ok
}

// yamlFields are a struct's fields by their names in a document.
func yamlFields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}

	for i := range t.NumField() {
		fields[yamlName(t.Field(i))] = t.Field(i).Type
	}

	return fields
}

func yamlName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")

	return name
}

func fieldNames(t reflect.Type) string {
	names := make([]string, t.NumField())

	for i := range names {
		names[i] = yamlName(t.Field(i))
	}

	return strings.Join(names, ", ")
}

// written is a value as a person would recognise it.
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
