// SPDX-License-Identifier: MPL-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// ServiceName is the extension service's name in Talos' machine configuration.
const ServiceName = "spegel-guard"

// filesFolder is the folder of the guard's files in its service.
const filesFolder = "/usr/local/etc/spegel-guard"

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
	services, machine, err := services(file)
	if err != nil {
		return nil, err
	}

	var found []Embedded

	for _, service := range services {
		found = append(found, embedded(childOf(service, "configFiles"))...)
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

// MisplacedFiles returns an error for each file of the guard's service, in a Talos machine configuration, whose mountPath is outside
// /usr/local/etc/spegel-guard or below another file. machined mounts it all the same, which fails for instance below /proc or a mount that
// is read-only, and the boot waits for the service (Talos internal/app/machined/pkg/system/services/extension.go, Runner).
func MisplacedFiles(file []byte) (Errors, error) {
	services, _, err := services(file)
	if err != nil {
		return nil, err
	}

	var misplaced Errors

	for _, service := range services {
		files := childOf(service, "configFiles")
		if files == nil {
			continue
		}

		for i, file := range files.Content {
			at := childOf(file, "mountPath")
			if at == nil || !outside(at.Value) && !below(at.Value, files) {
				continue
			}

			misplaced = append(misplaced, FieldError{
				Line: at.Line, Field: fmt.Sprintf("configFiles[%d].mountPath", i), Value: at.Value,
				Allowed: "a path in " + filesFolder + ", not below another file: with some others Talos cannot start the service, and its boot waits",
			})
		}
	}

	return misplaced, nil
}

// outside reports whether a mountPath is outside the folder of files.
func outside(mountPath string) bool {
	return path.Clean(mountPath) != mountPath || !strings.HasPrefix(mountPath, filesFolder+"/")
}

// below reports whether a mountPath is below that of another file.
func below(mountPath string, files *yaml.Node) bool {
	return slices.ContainsFunc(files.Content, func(other *yaml.Node) bool {
		parent := valueOf(other, "mountPath")

		return parent != "" && strings.HasPrefix(mountPath, parent+"/")
	})
}

// services returns the guard's ExtensionServiceConfig documents in a file, and whether the file is a Talos machine configuration.
func services(file []byte) (found []*yaml.Node, machine bool, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(file))

	for {
		var root yaml.Node

		if err := decoder.Decode(&root); errors.Is(err, io.EOF) {
			return found, machine, nil
		} else if err != nil {
			return nil, false, yamlError(err)
		}

		document := content(&root)
		kind, name := valueOf(document, "kind"), valueOf(document, "name")

		// These identify Talos' own documents; v1alpha1 itself has no kind.
		if kind != "" && kind != Kind || childOf(document, "machine") != nil || childOf(document, "cluster") != nil {
			machine = true
		}

		if kind == "ExtensionServiceConfig" && name == ServiceName {
			found = append(found, document)
		}
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
