// SPDX-License-Identifier: MPL-2.0

// Package support writes what guards serve into one archive, without secrets.
package support

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/safe"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/spegel-guard/spegel-guard/internal/printable"
	"github.com/spegel-guard/spegel-guard/pkg/client"
)

// File is one document of a node.
type File struct {
	Path string
	Data []byte
}

// Collect reads everything that a node serves. A part that fails becomes a file with the error, so that the rest is
// kept. The error is about a node that does not respond at all.
func Collect(node *client.Node, ctx context.Context) ([]File, error) {
	status, err := node.Status(ctx)
	if err != nil {
		return nil, err
	}

	files := []File{document("status.json", status, nil)}

	explanation, err := node.Explain(ctx, "")
	files = append(files, document("explain.json", explanation, err))

	checkup, err := node.Doctor(ctx)
	files = append(files, document("doctor.json", checkup, err))

	history, err := node.History(ctx, "", 0)
	files = append(files, document("history.json", history, err))

	version, err := node.Version(ctx)
	files = append(files, document("version.json", version, err))

	events, err := node.PastEvents(ctx, -1)
	files = append(files, document("events.json", events, err))

	return append(files, resources(ctx, node)...), nil
}

func document(path string, value any, err error) File {
	var text []byte

	if message, ok := value.(proto.Message); ok && err == nil {
		text, err = protojson.MarshalOptions{Multiline: true}.Marshal(message)
	} else if err == nil {
		text, err = json.MarshalIndent(value, "", "  ")
	}

	if err != nil {
		return failed(path, err)
	}

	return File{Path: path, Data: []byte(printable.EscapeJSON(string(text)))}
}

func failed(path string, err error) File {
	return File{Path: path + ".error.txt", Data: []byte(printable.Text(err.Error()) + "\n")}
}

// Bounds of a node's resources: all guards together share the memory of one command.
const (
	// maxTypes is several times as many as guards define.
	maxTypes = 128
	// maxResources bounds their text, in bytes: no further type is read above it.
	maxResources = 16 << 20
)

// errTooMuch is the error for a guard that serves more than the bounds.
var errTooMuch = fmt.Errorf("the guard serves more than %d types or %d MiB of resources: the others are left out", maxTypes, maxResources>>20)

// resources lists every type that the guard defines, except sensitive ones.
func resources(ctx context.Context, node *client.Node) []File {
	definitions, err := safe.StateListAll[*meta.ResourceDefinition](ctx, node.Resources)
	if err != nil {
		return []File{failed("resources", err)}
	}

	var (
		files []File
		size  int
	)

	for definition := range definitions.All() {
		spec := definition.TypedSpec()
		path := "resources/" + spec.Type + ".yaml"

		if spec.DefaultNamespace == meta.NamespaceName || spec.Sensitivity != meta.NonSensitive {
			continue
		}

		if len(files) >= maxTypes || size > maxResources {
			return append(files, failed("resources", errTooMuch))
		}

		all, err := node.Resources.List(ctx, resource.NewMetadata(spec.DefaultNamespace, spec.Type, "", resource.VersionUndefined))
		if err != nil {
			files = append(files, failed(path, err))

			continue
		}

		file := File{Path: path}

		for _, item := range all.Items {
			text, err := encode(item)
			if err != nil {
				text = []byte("# " + printable.Line(item.Metadata().ID()+": "+err.Error()) + "\n")
			}

			file.Data = append(append(file.Data, "---\n"...), printable.Text(string(text))...)
		}

		size += len(file.Data)
		files = append(files, file)
	}

	return files
}

func encode(item resource.Resource) ([]byte, error) {
	form, err := resource.MarshalYAML(item)
	if err != nil {
		return nil, fmt.Errorf("failed to encode: %w", err)
	}

	return yaml.Marshal(form)
}
