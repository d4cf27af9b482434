// SPDX-License-Identifier: MPL-2.0

// Package support puts what guards know into one archive, without secrets.
package support

import (
	"context"
	"fmt"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/safe"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// File of a node's, with a path of its own.
type File struct {
	Path string
	Data []byte
}

// Collect asks a node for all it knows. What cannot be had is a file that says why: the rest is worth sending.
// An error is a node that answers nothing at all.
func Collect(node *client.Node, ctx context.Context) ([]File, error) {
	status, err := node.Status(ctx)
	if err != nil {
		return nil, err
	}

	files := []File{message("status.json", status, nil)}

	explanation, err := node.Explain(ctx, "")
	files = append(files, message("explain.json", explanation, err))

	checkup, err := node.Doctor(ctx)
	files = append(files, message("doctor.json", checkup, err))

	history, err := node.History(ctx, "", 0)
	files = append(files, message("history.json", history, err))

	version, err := node.Version(ctx)
	files = append(files, message("version.json", version, err), events(ctx, node))

	return append(files, resources(ctx, node)...), nil
}

func message(path string, value proto.Message, err error) File {
	if err != nil {
		return failed(path, err)
	}

	text, err := protojson.MarshalOptions{Multiline: true}.Marshal(value)
	if err != nil {
		return failed(path, err)
	}

	return File{Path: path, Data: text}
}

func failed(path string, err error) File {
	return File{Path: path + ".error.txt", Data: []byte(err.Error() + "\n")}
}

func events(ctx context.Context, node *client.Node) File {
	file := File{Path: "events.jsonl"}

	err := node.Events(ctx, &guardv1alpha1.EventsRequest{Tail: -1, Once: true}, func(event *guardv1alpha1.EventsResponse) error {
		line, err := protojson.Marshal(event)
		file.Data = append(append(file.Data, line...), '\n')

		return err
	})
	if err != nil {
		return failed(file.Path, err)
	}

	return file
}

// resources are all of every type that the guard defines, sensitive ones excepted (it has none today).
func resources(ctx context.Context, node *client.Node) []File {
	definitions, err := safe.StateListAll[*meta.ResourceDefinition](ctx, node.Resources)
	if err != nil {
		return []File{failed("resources", err)}
	}

	var files []File

	for definition := range definitions.All() {
		spec := definition.TypedSpec()
		path := "resources/" + spec.Type + ".yaml"

		if spec.DefaultNamespace == meta.NamespaceName || spec.Sensitivity != meta.NonSensitive {
			continue
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
				text = []byte("# " + item.Metadata().ID() + ": " + err.Error() + "\n")
			}

			file.Data = append(append(file.Data, "---\n"...), text...)
		}

		files = append(files, file)
	}

	return files
}

func encode(item resource.Resource) ([]byte, error) {
	form, err := resource.MarshalYAML(item)
	if err != nil {
		return nil, fmt.Errorf("error encoding: %w", err)
	}

	return yaml.Marshal(form)
}
