// SPDX-License-Identifier: MPL-2.0

package config

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v4"
)

// ServiceName is the extension service's name in Talos' machine configuration.
const ServiceName = "spegel-guard"

// Embedded is a document within a file.
type Embedded struct {
	Document []byte
	// Offset is added to a line of the document for the line of the file.
	Offset int
}

// ErrNoDocument is returned for a machine configuration without a document of the guard.
var ErrNoDocument = errors.New("no ExtensionServiceConfig named " + ServiceName + " with a file for " + Path)

// Find returns the guard's documents in a file: the file itself, or what the ExtensionServiceConfig documents
// of a Talos machine configuration have for the guard. ErrNoDocument when there is none in the latter.
func Find(file []byte) ([]Embedded, error) {
	var (
		found   []Embedded
		machine bool
		decoder = yaml.NewDecoder(bytes.NewReader(file))
	)

	for {
		var root yaml.Node

		if err := decoder.Decode(&root); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, yamlError(err)
		}

		document := content(&root)
		kind, name := valueOf(document, "kind"), valueOf(document, "name")

		// These identify Talos' own documents; v1alpha1 itself has no kind.
		if kind != "" && kind != Kind || childOf(document, "machine") != nil || childOf(document, "cluster") != nil {
			machine = true
		}

		if kind == "ExtensionServiceConfig" && name == ServiceName {
			found = append(found, embedded(childOf(document, "configFiles"))...)
		}
	}

	switch {
	case !machine:
		return []Embedded{{Document: file}}, nil
	case len(found) == 0:
		return nil, ErrNoDocument
	default:
		return found, nil
	}
}

// embedded returns the guard's documents among a service's files.
func embedded(files *yaml.Node) []Embedded {
	if files == nil {
		return nil
	}

	var found []Embedded

	for _, file := range files.Content {
		text := childOf(file, "content")
		if valueOf(file, "mountPath") != Path || text == nil {
			continue
		}

		document := Embedded{Document: []byte(text.Value), Offset: text.Line}

		// A block begins on the line after its indicator; any other text on its own line.
		if text.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			document.Offset--
		}

		found = append(found, document)
	}

	return found
}

func valueOf(node *yaml.Node, name string) string {
	if child := childOf(node, name); child != nil {
		return child.Value
	}

	return ""
}
