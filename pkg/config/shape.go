package config

import (
	"encoding"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// checkShape compares a document with the type it is read into: unknown fields, and values of the
// wrong kind. Decoding would find these too, but names neither the field nor what is allowed.
func checkShape(node *yaml.Node, t reflect.Type, field string) Errors {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}

	// A field without a value keeps its default.
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
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
		return Errors{{Line: node.Line, Field: field, Value: written(node), Allowed: allowed}}
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
		return nil
	}
}

func checkMapping(node *yaml.Node, t reflect.Type, field string) Errors {
	var errs Errors

	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name := strings.TrimPrefix(field+"."+key.Value, ".")

		if t.Kind() == reflect.Map {
			errs = append(errs, checkShape(value, t.Elem(), name)...)

			continue
		}

		fields := yamlFields(t)

		if fieldType, ok := fields[key.Value]; ok {
			errs = append(errs, checkShape(value, fieldType, name)...)

			continue
		}

		errs = append(errs, FieldError{Line: key.Line, Field: name, Value: written(value), Allowed: "one of the fields " + fieldNames(t)})
	}

	return errs
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
