// SPDX-License-Identifier: MPL-2.0

package discover_test

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/spegel-guard/spegel-guard/pkg/discover"
)

// FuzzCRI: a runtime may answer anything, and an error. What is found is a container of that name with a process.
func FuzzCRI(f *testing.F) {
	var answers map[string][]byte

	socket := filepath.Join(f.TempDir(), "cri.sock")

	listener, err := net.Listen("unix", socket)
	require.NoError(f, err)

	server := grpc.NewServer(grpc.ForceServerCodecV2(proxy.Codec()), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(proxy.NewFrame(nil)); err != nil {
			return err
		}

		method, _ := grpc.MethodFromServerStream(stream)

		return stream.SendMsg(proxy.NewFrame(answers[method]))
	}))

	go server.Serve(listener)

	f.Cleanup(server.Stop)

	cri := discover.NewCRI(socket)

	f.Cleanup(func() { cri.Close() })

	encode := func(message proto.Message) []byte {
		body, err := proto.Marshal(message)
		require.NoError(f, err)

		return body
	}

	f.Add([]byte(nil), []byte(nil), []byte(nil))
	f.Add(
		encode(&runtimeapi.ListPodSandboxResponse{Items: []*runtimeapi.PodSandbox{
			{Id: "s1", Metadata: &runtimeapi.PodSandboxMetadata{Name: "spegel-a", Namespace: "spegel", Uid: "u1"}},
		}}),
		encode(&runtimeapi.ListContainersResponse{Containers: []*runtimeapi.Container{
			{Id: "c1", Metadata: &runtimeapi.ContainerMetadata{Name: "registry"}},
		}}),
		encode(&runtimeapi.ContainerStatusResponse{
			Status: &runtimeapi.ContainerStatus{Image: &runtimeapi.ImageSpec{Image: "spegel:v1"}, StartedAt: 1},
			Info:   map[string]string{"info": `{"pid": 7}`},
		}),
	)

	f.Fuzz(func(t *testing.T, sandboxes, containers, status []byte) {
		answers = map[string][]byte{
			runtimeapi.RuntimeService_ListPodSandbox_FullMethodName:  sandboxes,
			runtimeapi.RuntimeService_ListContainers_FullMethodName:  containers,
			runtimeapi.RuntimeService_ContainerStatus_FullMethodName: status,
		}

		found, err := discover.Find(t.Context(), selector(), cri)
		if err != nil {
			return
		}

		for _, container := range found.Containers {
			container.Validate() // the names may be anything, and are refused after this
			assert.Positive(t, container.PID)
			assert.Equal(t, selector().Container, container.Name)
		}
	})
}
