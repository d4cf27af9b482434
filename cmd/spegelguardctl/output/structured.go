// SPDX-License-Identifier: MPL-2.0

package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"k8s.io/client-go/util/jsonpath"

	"github.com/spegel-guard/spegel-guard/internal/printable"
)

// structured prints a document per item.
type structured struct {
	w      io.Writer
	format func(w *bytes.Buffer, document []byte, first bool) error
	again  bool
}

// Print implements Printer. It writes all items that it can, and returns ItemErrors for the others.
func (s *structured) Print(items ...Item) error {
	var failed ItemErrors

	for _, item := range items {
		var text bytes.Buffer

		document, err := encode(item)
		if err == nil {
			err = s.format(&text, document, !s.again)
		}

		if err != nil {
			failed = append(failed, ItemError{Node: item.Node, Err: err})

			continue
		}

		if _, err := text.WriteTo(s.w); err != nil {
			return fmt.Errorf("failed to write the output: %w", err)
		}

		s.again = true
	}

	if len(failed) > 0 {
		return failed
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
		return nil, fmt.Errorf("failed to encode the response: %w", err)
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

func formatJSON(w *bytes.Buffer, document []byte, _ bool) error {
	if err := json.Indent(w, []byte(printable.EscapeJSON(string(document))), "", "    "); err != nil {
		return err
	}

	return w.WriteByte('\n')
}

// formatYAML keeps the order of the fields: JSON is YAML, written in another style.
func formatYAML(w *bytes.Buffer, document []byte, first bool) error {
	var node yaml.Node

	// Line breaks of YAML that JSON does not have would be lost.
	if err := yaml.Unmarshal([]byte(printable.EscapeYAML(string(document))), &node); err != nil {
		return err
	}

	unstyle(&node)

	if !first {
		w.WriteString("---\n")
	}

	var text strings.Builder

	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(4)

	if err := encoder.Encode(&node); err != nil {
		return err
	}

	w.WriteString(printable.EscapeYAML(text.String()))

	return nil
}

// unstyle removes JSON's braces and quotes where YAML needs none. Hidden characters have escapes in double quotes only.
func unstyle(node *yaml.Node) {
	node.Style = 0

	if strings.ContainsFunc(node.Value, printable.Hidden) {
		node.Style = yaml.DoubleQuotedStyle
	}

	for _, child := range node.Content {
		unstyle(child)
	}
}

// newJSONPath prints what a template finds in each item, as kubectl and talosctl do, but without control characters: a node decides what
// its texts contain, and they are not escaped as in JSON.
func newJSONPath(w io.Writer, template string) (Printer, error) {
	parse := func() (*jsonpath.JSONPath, error) {
		path := jsonpath.New("output").AllowMissingKeys(true)

		return path, path.Parse(template)
	}

	if _, err := parse(); err != nil {
		return nil, fmt.Errorf("invalid --output %q: %w", "jsonpath="+template, err)
	}

	return &structured{w: w, format: func(w *bytes.Buffer, document []byte, _ bool) error {
		var value any

		if err := json.Unmarshal(document, &value); err != nil {
			return err
		}

		// Execute changes a template with a range, so that it serves once.
		path, err := parse()

		var found strings.Builder

		if err == nil {
			err = path.Execute(&found, value)
		}

		if err != nil {
			return fmt.Errorf("failed to apply the template of --output: %w", err)
		}

		w.WriteString(printable.Text(found.String()) + "\n")

		return nil
	}}, nil
}
