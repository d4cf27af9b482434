// SPDX-License-Identifier: MPL-2.0

package discover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// timeout of one call of a source.
const timeout = 5 * time.Second

// maxAnswer is the largest answer of a runtime in bytes, as in kubelet and containerd: a list of pods has their annotations.
const maxAnswer = 16 << 20

// maxStatus is the largest verbose status of a container in bytes, gRPC's default: it has the environment and the arguments twice.
const maxStatus = 4 << 20

// reconnect: the default back-off of gRPC grows to two minutes. A runtime that is up again is used earlier.
var reconnect = backoff.Config{BaseDelay: 500 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second}

// CRI finds containers over the CRI socket of a container runtime (k8s.io/cri-api).
type CRI struct {
	socket string

	mu   sync.Mutex
	conn *grpc.ClientConn
}

// NewCRI returns a source for the runtime at a unix socket. It connects at the first call and again after a loss.
func NewCRI(socket string) *CRI {
	return &CRI{socket: socket}
}

// Name implements Source.
func (c *CRI) Name() string { return "cri" }

// Close closes the connection.
func (c *CRI) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.conn == nil {
		return nil
	}

	return c.conn.Close()
}

func (c *CRI) client() (runtimeapi.RuntimeServiceClient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.conn == nil {
		conn, err := grpc.NewClient("unix://"+c.socket,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect}),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer), grpc.ForceCodecV2(newCRICodec())),
		)
		if err != nil {
			return nil, err
		}

		c.conn = conn
	}

	return runtimeapi.NewRuntimeServiceClient(c.conn), nil
}

// Find implements Source. It returns ErrUnreachable when the runtime does not answer.
func (c *CRI) Find(ctx context.Context, selector Selector) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	client, sandboxes, err := c.sandboxes(ctx, selector.PodLabels)
	if err != nil {
		return Answer{}, err
	}

	var answer Answer

	for _, sandbox := range sandboxes {
		if selector.Namespace != "" && sandbox.GetMetadata().GetNamespace() != selector.Namespace {
			continue
		}

		if err := c.findInSandbox(ctx, client, sandbox, selector.Container, &answer); err != nil {
			return Answer{}, err
		}
	}

	return answer, nil
}

// Pods implements Labels.
func (c *CRI) Pods(ctx context.Context, labels map[string]string) ([]Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	_, sandboxes, err := c.sandboxes(ctx, labels)
	if err != nil {
		return nil, err
	}

	pods := make([]Pod, len(sandboxes))

	for i, sandbox := range sandboxes {
		meta := sandbox.GetMetadata()
		pods[i] = Pod{Namespace: meta.GetNamespace(), Name: meta.GetName(), UID: meta.GetUid()}
	}

	return pods, nil
}

// sandboxes lists the ready pods with the labels. kubelet sets pod labels on the sandbox only, not on its containers.
func (c *CRI) sandboxes(ctx context.Context, labels map[string]string) (runtimeapi.RuntimeServiceClient, []*runtimeapi.PodSandbox, error) {
	client, err := c.client()
	if err != nil {
		return nil, nil, c.unreachable(err)
	}

	list, err := client.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{Filter: &runtimeapi.PodSandboxFilter{
		State:         &runtimeapi.PodSandboxStateValue{State: runtimeapi.PodSandboxState_SANDBOX_READY},
		LabelSelector: labels,
	}})
	if err != nil {
		return nil, nil, c.unreachable(err)
	}

	return client, list.GetItems(), nil
}

func (c *CRI) unreachable(err error) error {
	return fmt.Errorf("CRI socket %s: %w: %w", c.socket, ErrUnreachable, err)
}

// Watch calls changed for each container event until the runtime's stream ends. The first call has an empty pod and reports
// that the stream is open. An event without its pod has an empty one too.
func (c *CRI) Watch(ctx context.Context, changed func(namespace string, labels map[string]string)) error {
	client, err := c.client()
	if err != nil {
		return c.unreachable(err)
	}

	stream, err := client.GetContainerEvents(ctx, &runtimeapi.GetEventsRequest{})
	if err != nil {
		return c.unreachable(err)
	}

	changed("", nil)

	for {
		event, err := stream.Recv()
		if err != nil {
			return c.unreachable(err)
		}

		sandbox := event.GetPodSandboxStatus()
		changed(sandbox.GetMetadata().GetNamespace(), sandbox.GetLabels())
	}
}

// findInSandbox adds the containers of a pod with a name to an answer.
func (c *CRI) findInSandbox(
	ctx context.Context, client runtimeapi.RuntimeServiceClient, sandbox *runtimeapi.PodSandbox, name string, answer *Answer,
) error {
	list, err := client.ListContainers(ctx, &runtimeapi.ListContainersRequest{Filter: &runtimeapi.ContainerFilter{
		PodSandboxId: sandbox.GetId(),
		State:        &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_RUNNING},
	}})
	if err != nil {
		return c.unreachable(err)
	}

	for _, item := range list.GetContainers() {
		if item.GetMetadata().GetName() != name {
			continue
		}

		response, err := client.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: item.GetId(), Verbose: true},
			grpc.MaxCallRecvMsgSize(maxStatus))

		if status.Code(err) == codes.NotFound {
			continue // it ended between the two calls
		}

		// A single container must not make the runtime unreachable for the others.
		if tooLarge(err) {
			answer.skip(item.GetId(), err)

			continue
		}

		if err != nil {
			return c.unreachable(err)
		}

		if response.GetStatus().GetState() == runtimeapi.ContainerState_CONTAINER_EXITED {
			continue // it ended between the two calls
		}

		pid, err := pidOf(response)
		if err != nil {
			answer.skip(item.GetId(), err)

			continue
		}

		answer.Containers = append(answer.Containers, Container{
			Namespace: sandbox.GetMetadata().GetNamespace(),
			Pod:       sandbox.GetMetadata().GetName(),
			Name:      name,
			PodUID:    sandbox.GetMetadata().GetUid(),
			ID:        item.GetId(),
			PID:       pid,
			Image:     response.GetStatus().GetImage().GetImage(),
			Source:    c.Name(),
		})
	}

	return nil
}

// tooLarge reports whether a message exceeded the limit of its sender or its receiver. The code alone may also say that the runtime is
// busy, and the target would be lost; the text is that of google.golang.org/grpc for both.
func tooLarge(err error) bool {
	return status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "larger than max")
}

// pidOf returns the first process of a container. The CRI has no field for it; containerd and CRI-O report it in the verbose
// status, before the specification of the container, which is not read.
func pidOf(response *runtimeapi.ContainerStatusResponse) (int, error) {
	decoder := json.NewDecoder(strings.NewReader(response.GetInfo()["info"]))

	_, err := decoder.Token() // {

	for err == nil && decoder.More() {
		var (
			key   json.Token
			value json.RawMessage
		)

		if key, err = decoder.Token(); err != nil {
			break
		}

		if key != "pid" {
			err = decoder.Decode(&value)

			continue
		}

		var pid int
		if err = decoder.Decode(&pid); err == nil && pid > 0 {
			return pid, nil
		}
	}

	if err != nil {
		return 0, fmt.Errorf("failed to parse the runtime's verbose status: %w", err)
	}

	return 0, errors.New("the runtime's verbose status has no pid")
}
