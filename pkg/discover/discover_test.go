// SPDX-License-Identifier: MPL-2.0

package discover_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/spegel-guard/spegel-guard/pkg/discover"
)

// runtime answers as containerd's CRI does, with the pods of a small node.
type runtime struct {
	runtimeapi.UnimplementedRuntimeServiceServer

	events chan *runtimeapi.ContainerEventResponse

	filter *runtimeapi.PodSandboxFilter
	info   string
	// failing is what the status of a container answers.
	failing error
	// ended are ids of containers that have exited and whose status has no process.
	ended map[string]bool
	// annotation of each pod.
	annotation string
	// large are ids of containers with a verbose status of that size in bytes.
	large map[string]int
	// contentTypes of the requests.
	contentTypes []string
}

func (r *runtime) ListPodSandbox(ctx context.Context, req *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	r.filter = req.GetFilter()
	r.contentTypes = append(r.contentTypes, metadata.ValueFromIncomingContext(ctx, "content-type")...)

	return &runtimeapi.ListPodSandboxResponse{Items: []*runtimeapi.PodSandbox{
		{Id: "s1", Metadata: &runtimeapi.PodSandboxMetadata{Name: "spegel-a", Namespace: "spegel", Uid: "u1"}, Annotations: map[string]string{"a": r.annotation}},
		{Id: "s2", Metadata: &runtimeapi.PodSandboxMetadata{Name: "spegel-b", Namespace: "other", Uid: "u2"}},
	}}, nil
}

func (r *runtime) ListContainers(_ context.Context, req *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	id := req.GetFilter().GetPodSandboxId()

	return &runtimeapi.ListContainersResponse{Containers: []*runtimeapi.Container{
		{Id: id + "-init", Metadata: &runtimeapi.ContainerMetadata{Name: "configuration"}},
		{Id: id + "-main", Metadata: &runtimeapi.ContainerMetadata{Name: "registry"}},
	}}, nil
}

func (r *runtime) ContainerStatus(_ context.Context, req *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	if r.failing != nil {
		return nil, r.failing
	}

	if r.ended[req.GetContainerId()] {
		return &runtimeapi.ContainerStatusResponse{
			Status: &runtimeapi.ContainerStatus{State: runtimeapi.ContainerState_CONTAINER_EXITED}, Info: map[string]string{"info": "{}"},
		}, nil
	}

	info := r.info
	if size := r.large[req.GetContainerId()]; size > 0 {
		info = fmt.Sprintf(`{"pid": 42, "config": %q}`, strings.Repeat("x", size))
	}

	return &runtimeapi.ContainerStatusResponse{
		Status: &runtimeapi.ContainerStatus{Image: &runtimeapi.ImageSpec{Image: "spegel:v1"}},
		Info:   map[string]string{"info": info},
	}, nil
}

func (r *runtime) GetContainerEvents(_ *runtimeapi.GetEventsRequest, stream grpc.ServerStreamingServer[runtimeapi.ContainerEventResponse]) error {
	for {
		select {
		case <-stream.Context().Done():
			return nil
		case event, ok := <-r.events:
			if !ok {
				return nil
			}

			if err := stream.Send(event); err != nil {
				return err
			}
		}
	}
}

func serve(t *testing.T, r *runtime, options ...grpc.ServerOption) string {
	t.Helper()

	socket := filepath.Join(t.TempDir(), "cri.sock")

	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)

	server := grpc.NewServer(options...)
	runtimeapi.RegisterRuntimeServiceServer(server, r)

	go server.Serve(listener)
	t.Cleanup(server.Stop)

	return socket
}

func selector() discover.Selector {
	return discover.Selector{
		PodLabels: map[string]string{"app.kubernetes.io/name": "spegel"}, Container: "registry", Process: "spegel",
	}
}

func TestCRI_FindsMatchingContainers(t *testing.T) {
	r := &runtime{info: `{"pid": 42}`}
	cri := discover.NewCRI(serve(t, r))

	defer cri.Close()

	answer, err := cri.Find(t.Context(), selector())
	found := answer.Containers
	require.NoError(t, err)
	require.Len(t, found, 2, "two matches are two targets")

	assert.Equal(t, "spegel/spegel-a/registry", found[0].Workload())
	assert.Equal(t, "s1-main", found[0].ID)
	assert.Equal(t, 42, found[0].PID)
	assert.Equal(t, "u1", found[0].PodUID)
	assert.Equal(t, map[string]string{"app.kubernetes.io/name": "spegel"}, r.filter.GetLabelSelector())

	one := selector()
	one.Namespace = "other"

	answer, err = cri.Find(t.Context(), one)
	found = answer.Containers
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, "other/spegel-b/registry", found[0].Workload())
}

func TestCRI_RefusesStatusWithoutProcess(t *testing.T) {
	for _, info := range []string{"", "{}", `{"pid": 0}`, "<html>"} {
		cri := discover.NewCRI(serve(t, &runtime{info: info}))

		answer, err := cri.Find(t.Context(), selector())
		require.NoError(t, err, "it costs itself only")
		assert.Empty(t, answer.Containers, info)
		assert.Error(t, answer.Skipped["s1-main"], info)
		cri.Close()
	}
}

// TestCRI_SkipsContainerWithTooLargeStatus: the creator of a pod with the labels decides on the size of its status. The other containers
// are found.
func TestCRI_SkipsContainerWithTooLargeStatus(t *testing.T) {
	for name, options := range map[string][]grpc.ServerOption{
		"for the guard":   nil,
		"for the runtime": {grpc.MaxSendMsgSize(1 << 20)},
	} {
		t.Run(name, func(t *testing.T) {
			cri := discover.NewCRI(serve(t, &runtime{info: `{"pid": 42}`, large: map[string]int{"s1-main": 5 << 20}}, options...))

			defer cri.Close()

			answer, err := cri.Find(t.Context(), selector())
			require.NoError(t, err)
			require.Len(t, answer.Containers, 1)
			assert.Equal(t, "s2-main", answer.Containers[0].ID)
			assert.Len(t, answer.Skipped, 1)
			assert.ErrorContains(t, answer.Skipped["s1-main"], "larger than max")
		})
	}
}

// TestCRI_ReadsLargeStatus: the environment and the arguments of a target may be long.
func TestCRI_ReadsLargeStatus(t *testing.T) {
	cri := discover.NewCRI(serve(t, &runtime{info: `{"pid": 42}`, large: map[string]int{"s1-main": 3 << 20}}))

	defer cri.Close()

	answer, err := cri.Find(t.Context(), selector())
	require.NoError(t, err)
	require.Empty(t, answer.Skipped)
	assert.Len(t, answer.Containers, 2)
}

// TestCRI_SendsTheContentTypeOfGRPC: CRI-O serves no other one (https://github.com/cri-o/cri-o/issues/9969).
func TestCRI_SendsTheContentTypeOfGRPC(t *testing.T) {
	r := &runtime{info: `{"pid": 42}`}
	cri := discover.NewCRI(serve(t, r))

	defer cri.Close()

	_, err := cri.Find(t.Context(), selector())
	require.NoError(t, err)
	assert.Equal(t, []string{"application/grpc"}, r.contentTypes)
}

// TestCRI_ContainerEndedMeanwhile: a runtime too slow to answer is not an ended container, whose ceiling would be released.
func TestCRI_ContainerEndedMeanwhile(t *testing.T) {
	r := &runtime{info: `{"pid": 42}`, failing: status.Error(codes.NotFound, "no such container")}
	cri := discover.NewCRI(serve(t, r))

	defer cri.Close()

	answer, err := cri.Find(t.Context(), selector())
	found := answer.Containers
	assert.NoError(t, err)
	assert.Empty(t, found)

	for _, code := range []codes.Code{codes.DeadlineExceeded, codes.ResourceExhausted} {
		r.failing = status.Error(code, "busy")

		_, err = cri.Find(t.Context(), selector())
		assert.ErrorIs(t, err, discover.ErrUnreachable, code)
	}
}

func TestCRI_Unreachable(t *testing.T) {
	cri := discover.NewCRI(filepath.Join(t.TempDir(), "none.sock"))

	defer cri.Close()

	_, err := cri.Find(t.Context(), selector())
	assert.ErrorIs(t, err, discover.ErrUnreachable)
}

func TestCRI_WatchReportsEvents(t *testing.T) {
	r := &runtime{events: make(chan *runtimeapi.ContainerEventResponse)}
	cri := discover.NewCRI(serve(t, r))

	defer cri.Close()

	type event struct {
		namespace string
		labels    map[string]string
	}

	got, ended := make(chan event, 10), make(chan error)

	go func() {
		ended <- cri.Watch(t.Context(), func(namespace string, labels map[string]string) { got <- event{namespace, labels} })
	}()

	assert.Equal(t, event{}, <-got, "the stream is up")

	spegel := map[string]string{"app.kubernetes.io/name": "spegel"}
	r.events <- &runtimeapi.ContainerEventResponse{PodSandboxStatus: &runtimeapi.PodSandboxStatus{
		Metadata: &runtimeapi.PodSandboxMetadata{Namespace: "spegel"}, Labels: spegel,
	}}
	r.events <- &runtimeapi.ContainerEventResponse{}

	assert.Equal(t, event{"spegel", spegel}, <-got)
	assert.Equal(t, event{}, <-got, "an event without its pod")

	close(r.events)
	assert.ErrorIs(t, <-ended, discover.ErrUnreachable)
}

func TestSelector_MatchesPod(t *testing.T) {
	s := discover.Selector{Namespace: "spegel", PodLabels: map[string]string{"a": "b", "c": ""}}

	assert.True(t, s.MatchesPod("spegel", map[string]string{"a": "b", "c": "", "d": "e"}))
	assert.False(t, s.MatchesPod("other", map[string]string{"a": "b", "c": ""}))
	assert.False(t, s.MatchesPod("spegel", map[string]string{"a": "b"}), "a label without a value must be there")
}

type fake struct {
	name  string
	found []discover.Container
	err   error
}

func (f fake) Name() string { return f.name }

func (f fake) Find(context.Context, discover.Selector) (discover.Answer, error) {
	return discover.Answer{Containers: f.found}, f.err
}

func TestFind_TakesFirstAnswer(t *testing.T) {
	broken := fake{err: errors.New("broken")}
	empty := fake{}
	full := fake{found: []discover.Container{{ID: "x"}}}

	answer, err := discover.Find(t.Context(), selector(), empty, full)
	found := answer.Containers
	assert.NoError(t, err)
	assert.Empty(t, found, "an empty answer is an answer")

	answer, err = discover.Find(t.Context(), selector(), broken, full)
	found = answer.Containers
	assert.ErrorContains(t, err, "broken", "why the preferred source was not used")
	assert.Len(t, found, 1)

	answer, err = discover.Find(t.Context(), selector(), broken, broken)
	found = answer.Containers
	assert.Error(t, err)
	assert.Empty(t, found)
}

// TestCRI_ReadsLargeLists: a list of pods has their annotations, and each may have 256 KiB of them.
func TestCRI_ReadsLargeLists(t *testing.T) {
	cri := discover.NewCRI(serve(t, &runtime{info: `{"pid": 42}`, annotation: strings.Repeat("x", 15<<20)}))
	defer cri.Close()

	answer, err := cri.Find(t.Context(), selector())
	require.NoError(t, err)
	assert.Len(t, answer.Containers, 2)
}

// TestCRI_ExitedContainerCostsItself: a container that exits between the list and its status has a status without a process.
func TestCRI_ExitedContainerCostsItself(t *testing.T) {
	cri := discover.NewCRI(serve(t, &runtime{info: `{"pid": 42}`, ended: map[string]bool{"s1-main": true}}))
	defer cri.Close()

	answer, err := cri.Find(t.Context(), selector())
	require.NoError(t, err)
	require.Len(t, answer.Containers, 1)
	assert.Equal(t, "s2-main", answer.Containers[0].ID)
}
