// SPDX-License-Identifier: MPL-2.0

// Command generate writes the Go code of the project's protobuf files (make generate).
//
// It compiles with protocompile and runs the plugins pinned in go.mod, so that neither protoc nor a
// copy of Talos' proto files is needed: imports are resolved from the descriptors that the
// machinery module has. With -image it writes an image for buf instead.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	_ "github.com/siderolabs/talos/pkg/machinery/api/common" // common/common.proto
	_ "google.golang.org/protobuf/types/known/durationpb"    // google/protobuf/duration.proto
	_ "google.golang.org/protobuf/types/known/emptypb"       // google/protobuf/empty.proto
	_ "google.golang.org/protobuf/types/known/timestamppb"   // google/protobuf/timestamp.proto
)

// root of the import paths, relative to the module.
const root = "proto"

var plugins = []string{"protoc-gen-go", "protoc-gen-go-grpc"}

func main() {
	image := flag.String("image", "", "path of an image for buf; generates no code")
	flag.Parse()

	if err := run(context.Background(), []string{"spegelguard/v1alpha1/guard.proto"}, *image); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, files []string, image string) error {
	compiler := protocompile.Compiler{
		Resolver: protocompile.CompositeResolver{
			&protocompile.SourceResolver{ImportPaths: []string{root}},
			protocompile.ResolverFunc(fromRegistry),
		},
		SourceInfoMode: protocompile.SourceInfoStandard, // the comments become docstrings
	}

	compiled, err := compiler.Compile(ctx, files...)
	if err != nil {
		return fmt.Errorf("failed to compile: %w", err)
	}

	request := pluginRequest(files, compiled)

	if image != "" {
		return writeImage(image, request.GetProtoFile())
	}

	data, err := proto.Marshal(request)
	if err != nil {
		return err
	}

	for _, plugin := range plugins {
		if err := runPlugin(ctx, plugin, data); err != nil {
			return fmt.Errorf("failed to run %s: %w", plugin, err)
		}
	}

	return nil
}

func fromRegistry(path string) (protocompile.SearchResult, error) {
	file, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err != nil {
		return protocompile.SearchResult{}, err
	}

	return protocompile.SearchResult{Proto: protodesc.ToFileDescriptorProto(file)}, nil
}

func pluginRequest(files []string, compiled linker.Files) *pluginpb.CodeGeneratorRequest {
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: files, Parameter: proto.String("paths=source_relative")}
	done := map[string]bool{}

	var add func(file protoreflect.FileDescriptor)

	// Plugins need each file after its imports.
	add = func(file protoreflect.FileDescriptor) {
		if done[file.Path()] {
			return
		}

		done[file.Path()] = true

		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}

		request.ProtoFile = append(request.ProtoFile, descriptor(file))
	}

	for _, file := range compiled {
		add(file)
	}

	return request
}

// writeImage writes a FileDescriptorSet, which buf reads instead of source files, because some of those are not here.
func writeImage(path string, files []*descriptorpb.FileDescriptorProto) error {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(&descriptorpb.FileDescriptorSet{File: files})
	if err != nil {
		return err
	}

	return os.WriteFile(path, data, 0o644)
}

func descriptor(file protoreflect.FileDescriptor) *descriptorpb.FileDescriptorProto {
	// A compiled file has its comments in its own descriptor; protodesc would drop them.
	if result, ok := file.(linker.Result); ok {
		return result.FileDescriptorProto()
	}

	return protodesc.ToFileDescriptorProto(file)
}

func runPlugin(ctx context.Context, plugin string, request []byte) error {
	cmd := exec.CommandContext(ctx, "go", "tool", plugin)
	cmd.Stdin = bytes.NewReader(request)
	cmd.Stderr = os.Stderr

	out, err := cmd.Output()
	if err != nil {
		return err
	}

	var response pluginpb.CodeGeneratorResponse

	if err := proto.Unmarshal(out, &response); err != nil {
		return err
	}

	if response.GetError() != "" {
		return errors.New(response.GetError())
	}

	for _, file := range response.GetFile() {
		if err := os.WriteFile(filepath.Join(root, file.GetName()), []byte(file.GetContent()), 0o644); err != nil {
			return err
		}
	}

	return nil
}
