// SPDX-License-Identifier: MPL-2.0

package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"k8s.io/client-go/util/jsonpath"
)

// structured prints a document per item.
type structured struct {
	w     io.Writer
	write func(w io.Writer, document []byte, first bool) error
	again bool
}

// Print implements Printer.
func (s *structured) Print(items ...Item) error {
	for _, item := range items {
		document, err := encode(item)
		if err != nil {
			return err
		}

		if err := s.write(s.w, document, !s.again); err != nil {
			return fmt.Errorf("failed to write the output: %w", err)
		}

		s.again = true
	}

	return nil
}

// encode writes an item as a JSON object, with the node's name as its first field.
func encode(item Item) ([]byte, error) {
	var (
		body []byte
		err  error
	)

	if message, ok := item.Value.(proto.Message); ok {
		body, err = encodeMessage(message)
	} else {
		body, err = json.Marshal(item.Value)
	}

	if err != nil {
		return nil, fmt.Errorf("failed to encode the response of %s: %w", item.Node, err)
	}

	if item.Node == "" {
		return body, nil
	}

	name, err := json.Marshal(item.Node)
	if err != nil {
		return nil, err
	}

	body = bytes.TrimSpace(body)[1:]
	if body[0] != '}' {
		name = append(name, ',')
	}

	return bytes.Join([][]byte{[]byte(`{"node":`), name, body}, nil), nil
}

// encodeMessage removes Talos' metadata: the node's name comes first already.
func encodeMessage(message proto.Message) ([]byte, error) {
	message = proto.Clone(message)
	reflected := message.ProtoReflect()

	if field := reflected.Descriptor().Fields().ByName("metadata"); field != nil {
		reflected.Clear(field)
	}

	text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(message)
	if err != nil {
		return nil, err
	}

	// protojson varies its white space.
	var compact bytes.Buffer

	if err := json.Compact(&compact, text); err != nil {
		return nil, err
	}

	return compact.Bytes(), nil
}

func writeJSON(w io.Writer, document []byte, _ bool) error {
	var indented bytes.Buffer

	if err := json.Indent(&indented, document, "", "    "); err != nil {
		return err
	}

	indented.WriteByte('\n')

	_, err := indented.WriteTo(w)

	return err
}

// writeYAML keeps the order of the fields: JSON is YAML, written in another style.
func writeYAML(w io.Writer, document []byte, first bool) error {
	var node yaml.Node

	if err := yaml.Unmarshal(document, &node); err != nil {
		return err
	}

	unstyle(&node)

	var text bytes.Buffer

	if !first {
		text.WriteString("---\n")
	}

	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(4)

	if err := encoder.Encode(&node); err != nil {
		return err
	}

	_, err := text.WriteTo(w)

	return err
}

// unstyle removes JSON's braces and quotes where YAML needs none.
func unstyle(node *yaml.Node) {
	node.Style = 0

	for _, child := range node.Content {
		unstyle(child)
	}
}

// newJSONPath prints what a template finds in each item, as kubectl and talosctl do.
func newJSONPath(w io.Writer, template string) (Printer, error) {
	path := jsonpath.New("output").AllowMissingKeys(true)

	if err := path.Parse(template); err != nil {
		return nil, fmt.Errorf("invalid --output %q: %w", "jsonpath="+template, err)
	}

	return &structured{w: w, write: func(w io.Writer, document []byte, _ bool) error {
		var value any

		if err := json.Unmarshal(document, &value); err != nil {
			return err
		}

		if err := path.Execute(w, value); err != nil {
			return err
		}

		_, err := fmt.Fprintln(w)

		return err
	}}, nil
}
