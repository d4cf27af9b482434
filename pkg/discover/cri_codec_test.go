// SPDX-License-Identifier: MPL-2.0

package discover

import (
	"fmt"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// podList is the list of a number of pods with the largest annotations that Kubernetes allows.
func podList(pods int) *runtimeapi.ListPodSandboxResponse {
	list := &runtimeapi.ListPodSandboxResponse{}

	for i := range pods {
		list.Items = append(list.Items, &runtimeapi.PodSandbox{
			Id:          fmt.Sprintf("sandbox-%d", i),
			Metadata:    &runtimeapi.PodSandboxMetadata{Name: fmt.Sprintf("pod-%d", i), Namespace: "spegel", Uid: fmt.Sprintf("uid-%d", i)},
			State:       runtimeapi.PodSandboxState_SANDBOX_NOTREADY,
			CreatedAt:   1,
			Labels:      map[string]string{"app": "spegel"},
			Annotations: map[string]string{"filler": strings.Repeat("x", 256<<10)},
		})
	}

	return list
}

func encode(tb testing.TB, message proto.Message) []byte {
	tb.Helper()

	data, err := proto.Marshal(message)
	require.NoError(tb, err)

	return data
}

// frames cuts a message into pieces, as it comes from the network.
func frames(data []byte, size int) mem.BufferSlice {
	var slice mem.BufferSlice

	for ; len(data) > size; data = data[size:] {
		slice = append(slice, mem.SliceBuffer(data[:size]))
	}

	return append(slice, mem.SliceBuffer(data))
}

// read returns a message with only the fields that criFields has of it.
func read(message proto.Message) proto.Message {
	if list, ok := message.(*runtimeapi.ListPodSandboxResponse); ok {
		var items []*runtimeapi.PodSandbox

		for _, pod := range list.GetItems() {
			items = append(items, &runtimeapi.PodSandbox{Id: pod.GetId(), Metadata: pod.GetMetadata()})
		}

		return &runtimeapi.ListPodSandboxResponse{Items: items}
	}

	if list, ok := message.(*runtimeapi.ListContainersResponse); ok {
		var containers []*runtimeapi.Container

		for _, container := range list.GetContainers() {
			containers = append(containers, &runtimeapi.Container{Id: container.GetId(), Metadata: container.GetMetadata()})
		}

		return &runtimeapi.ListContainersResponse{Containers: containers}
	}

	if event, ok := message.(*runtimeapi.ContainerEventResponse); ok {
		kept := &runtimeapi.ContainerEventResponse{}
		if status := event.GetPodSandboxStatus(); status != nil {
			kept.PodSandboxStatus = &runtimeapi.PodSandboxStatus{Metadata: status.GetMetadata(), Labels: status.GetLabels()}
		}

		return kept
	}

	return message
}

// answers are empty messages of those that are cut, and one that is not.
func answers() []proto.Message {
	return []proto.Message{
		&runtimeapi.ListPodSandboxResponse{}, &runtimeapi.ListContainersResponse{}, &runtimeapi.ContainerStatusResponse{},
		&runtimeapi.ContainerEventResponse{}, &runtimeapi.VersionResponse{},
	}
}

func TestCRICodec_DecodesWhatIsRead(t *testing.T) {
	labels, large := map[string]string{"app": "spegel"}, map[string]string{"filler": strings.Repeat("x", 256<<10)}

	for _, message := range []proto.Message{
		&runtimeapi.ListPodSandboxResponse{},
		podList(2),
		&runtimeapi.ListContainersResponse{Containers: []*runtimeapi.Container{
			{Id: "c1", PodSandboxId: "s1", Metadata: &runtimeapi.ContainerMetadata{Name: "registry", Attempt: 3}, Annotations: large},
			{},
		}},
		&runtimeapi.ContainerStatusResponse{
			Status: &runtimeapi.ContainerStatus{
				Id: "c1", State: runtimeapi.ContainerState_CONTAINER_EXITED, Image: &runtimeapi.ImageSpec{Image: "spegel:v1"}, Annotations: large,
			},
			Info: map[string]string{"info": `{"pid": 42}`},
		},
		&runtimeapi.ContainerEventResponse{
			ContainerId: "c1", ContainerEventType: runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT, CreatedAt: 1,
			PodSandboxStatus: &runtimeapi.PodSandboxStatus{
				Metadata: &runtimeapi.PodSandboxMetadata{Namespace: "spegel"}, Labels: labels, Annotations: large,
			},
			ContainersStatuses: []*runtimeapi.ContainerStatus{{Id: "c1", Annotations: large}},
		},
		&runtimeapi.VersionResponse{RuntimeName: "containerd"},
	} {
		for _, size := range []int{1, 7, 16 << 10, 1 << 20} {
			t.Run(fmt.Sprintf("%T in frames of %d", message, size), func(t *testing.T) {
				got := message.ProtoReflect().New().Interface()

				require.NoError(t, newCRICodec().Unmarshal(frames(encode(t, message), size), got))
				assert.Truef(t, proto.Equal(read(message), got), "%v", got)
			})
		}
	}
}

// TestCRICodec_DecodesTheRestAsAWhole: another version of the runtime may send more than is known here.
func TestCRICodec_DecodesTheRestAsAWhole(t *testing.T) {
	later := protowire.AppendVarint(protowire.AppendTag(encode(t, podList(1)), 2, protowire.VarintType), 7)
	later = protowire.AppendBytes(protowire.AppendTag(later, 3, protowire.BytesType), []byte("later"))

	var list runtimeapi.ListPodSandboxResponse

	require.NoError(t, newCRICodec().Unmarshal(frames(later, 1000), &list))
	assert.True(t, proto.Equal(read(podList(1)), &list), "fields that are unknown")

	later = protowire.AppendFixed32(protowire.AppendTag(later, 4, protowire.Fixed32Type), 7)

	require.NoError(t, newCRICodec().Unmarshal(frames(later, 1000), &list))
	require.Len(t, list.GetItems(), 1)
	assert.NotEmpty(t, list.GetItems()[0].GetAnnotations(), "a kind of field that is not used today")

	require.ErrorContains(t, newCRICodec().Unmarshal(frames([]byte("\x0a\x7fshort"), 3), &list), "cannot parse")
}

// TestCRICodec_AllocatesWhatItKeeps: pods cost the guard little of the memory that their annotations have.
func TestCRICodec_AllocatesWhatItKeeps(t *testing.T) {
	data := frames(encode(t, podList(20)), 16<<10)

	var (
		list          runtimeapi.ListPodSandboxResponse
		before, after goruntime.MemStats
	)

	goruntime.ReadMemStats(&before)
	require.NoError(t, newCRICodec().Unmarshal(data, &list))
	goruntime.ReadMemStats(&after)

	require.Len(t, list.GetItems(), 20)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(data.Len()/4), "bytes allocated for %d", data.Len())
}

// FuzzCRICodec: what the ordinary codec decodes has the same fields.
func FuzzCRICodec(f *testing.F) {
	f.Add([]byte(nil), 1)
	f.Add([]byte("\x0a\x04\x0a\x02s1"), 3)
	f.Add([]byte("\x0a\x02\x12\x00\x0a\x00"), 2)
	f.Add([]byte("\x0a\x7fshort"), 2)
	f.Add([]byte("\x0a\x02\x18\x01\x10\x01"), 2)
	f.Add([]byte("\x12\x06\x0a\x01k\x12\x01v"), 2)
	f.Add([]byte("\x22\x04\x12\x02\x1a\x00"), 2)

	f.Fuzz(func(t *testing.T, data []byte, size int) {
		for _, want := range answers() {
			if proto.Unmarshal(data, want) != nil {
				continue
			}

			got := want.ProtoReflect().New().Interface()
			require.NoErrorf(t, newCRICodec().Unmarshal(frames(data, max(1, size)), got), "%T", want)
			assert.Truef(t, proto.Equal(known(read(want)), known(read(got))), "%T: %v, not %v", want, got, want)
		}
	})
}

// known removes the fields of a message that it does not know, and those of the messages in it.
func known(message proto.Message) proto.Message {
	data, err := proto.Marshal(message)
	if err != nil {
		panic(err)
	}

	message = message.ProtoReflect().New().Interface()
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, message); err != nil {
		panic(err)
	}

	return message
}

// BenchmarkCRICodec compares it with the ordinary codec, at 20 pods with the largest annotations.
func BenchmarkCRICodec(b *testing.B) {
	data := frames(encode(b, podList(20)), 16<<10)

	for name, codec := range map[string]interface {
		Unmarshal(data mem.BufferSlice, message any) error
	}{"ordinary": newCRICodec().CodecV2, "cut": newCRICodec()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()

			for b.Loop() {
				require.NoError(b, codec.Unmarshal(data, &runtimeapi.ListPodSandboxResponse{}))
			}
		})
	}
}
