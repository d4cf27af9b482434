// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// criRuntime answers as a container runtime with one pod does.
type criRuntime struct {
	runtimeapi.UnimplementedRuntimeServiceServer

	pid int
}

// serveRuntime serves it on a socket until the context ends.
func serveRuntime(ctx context.Context, socket string, pid int) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return err
	}

	server := grpc.NewServer()
	runtimeapi.RegisterRuntimeServiceServer(server, &criRuntime{pid: pid})

	go server.Serve(listener) //nolint:errcheck // until it is stopped
	context.AfterFunc(ctx, server.Stop)

	return nil
}

// ListPodSandbox implements runtimeapi.RuntimeServiceServer.
func (*criRuntime) ListPodSandbox(context.Context, *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	return &runtimeapi.ListPodSandboxResponse{Items: []*runtimeapi.PodSandbox{{
		Id: "sandbox", Metadata: &runtimeapi.PodSandboxMetadata{Name: "spegel-bench", Namespace: "spegel", Uid: podUID},
	}}}, nil
}

// ListContainers implements runtimeapi.RuntimeServiceServer.
func (*criRuntime) ListContainers(context.Context, *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	return &runtimeapi.ListContainersResponse{Containers: []*runtimeapi.Container{{
		Id: containerID, Metadata: &runtimeapi.ContainerMetadata{Name: "registry"},
	}}}, nil
}

// ContainerStatus implements runtimeapi.RuntimeServiceServer.
func (r *criRuntime) ContainerStatus(context.Context, *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	return &runtimeapi.ContainerStatusResponse{
		Status: &runtimeapi.ContainerStatus{Image: &runtimeapi.ImageSpec{Image: "spegel:v0.6.0"}},
		Info:   map[string]string{"info": fmt.Sprintf(`{"pid": %d}`, r.pid)},
	}, nil
}

// GetContainerEvents implements runtimeapi.RuntimeServiceServer: nothing happens.
func (*criRuntime) GetContainerEvents(_ *runtimeapi.GetEventsRequest, stream grpc.ServerStreamingServer[runtimeapi.ContainerEventResponse]) error {
	<-stream.Context().Done()

	return nil
}
