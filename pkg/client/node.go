// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/state"
	cosiclient "github.com/cosi-project/runtime/pkg/state/protobuf/client"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// Node is one node's guard.
type Node struct {
	// Name as it was passed to Open.
	Name string
	// Guard is the guard's own service.
	Guard guardv1alpha1.GuardServiceClient
	// Resources are the guard's, read-only: the types of pkg/resources. A watch that fails ends with an error.
	Resources state.State

	machine machine.MachineServiceClient
	origin  origin
	// opening is the time within which watches have to begin.
	opening time.Duration
	// conn is nil behind an endpoint, whose connection belongs to all nodes.
	conn *direct
}

func newNode(name string, conn grpc.ClientConnInterface, from origin, timeout time.Duration) *Node {
	return &Node{
		Name: name, origin: from, opening: max(timeout, DefaultTimeout), Guard: guardv1alpha1.NewGuardServiceClient(conn), machine: machine.NewMachineServiceClient(conn),
		Resources: state.WrapCore(cosiclient.NewAdapter(v1alpha1.NewStateClient(conn), cosiclient.WithDisableWatchRetry())),
	}
}

// errEmpty is the error for a server that is no guard.
var errEmpty = errors.New("the response has no message")

// smallResponse bounds a response that has few facts, in bytes and in elements: its messages can take hundreds of times as much memory.
var smallResponse = []grpc.CallOption{grpc.MaxCallRecvMsgSize(256 << 10), boundElements(maxSmallElements)}

// first returns the message of the node: the response of one node has one.
func first[T any](messages []T, err error) (T, error) {
	var none T

	switch {
	case err != nil:
		return none, err
	case len(messages) == 0:
		return none, errEmpty
	default:
		return messages[0], nil
	}
}

// Doctor checks what the guard needs of its node.
func (n *Node) Doctor(ctx context.Context) (*guardv1alpha1.Checkup, error) {
	response, err := n.Guard.Doctor(ctx, &guardv1alpha1.DoctorRequest{}, smallResponse...)

	return first(response.GetMessages(), err)
}

// Version returns the guard's version in the shape of Talos' own; GuardVersion reads it.
func (n *Node) Version(ctx context.Context) (*machine.Version, error) {
	response, err := n.machine.Version(ctx, &emptypb.Empty{}, smallResponse...)

	return first(response.GetMessages(), err)
}

// GuardVersion returns the version of the guard: the tag beside it is the version of Talos' API.
func GuardVersion(version *machine.Version) string {
	return strings.TrimPrefix(version.GetPlatform().GetName(), "spegel-guard ")
}

// Release removes ceilings and suspends enforcement for targets for a limited time.
func (n *Node) Release(ctx context.Context, request *guardv1alpha1.ReleaseRequest) (*guardv1alpha1.OverrideResult, error) {
	response, err := n.Guard.Release(ctx, request, smallResponse...)

	return first(response.GetMessages(), err)
}

// Throttle applies a ceiling to targets for a limited time.
func (n *Node) Throttle(ctx context.Context, request *guardv1alpha1.ThrottleRequest) (*guardv1alpha1.OverrideResult, error) {
	response, err := n.Guard.Throttle(ctx, request, smallResponse...)

	return first(response.GetMessages(), err)
}

// Pause suspends enforcement on the node for a limited time.
func (n *Node) Pause(ctx context.Context, request *guardv1alpha1.PauseRequest) (*guardv1alpha1.OverrideResult, error) {
	response, err := n.Guard.Pause(ctx, request, smallResponse...)

	return first(response.GetMessages(), err)
}

// Resume ends overrides before their time.
func (n *Node) Resume(ctx context.Context, request *guardv1alpha1.ResumeRequest) (*guardv1alpha1.OverrideResult, error) {
	response, err := n.Guard.Resume(ctx, request, smallResponse...)

	return first(response.GetMessages(), err)
}

// Capture writes evidence of targets to the node.
func (n *Node) Capture(ctx context.Context, request *guardv1alpha1.CaptureRequest) (*guardv1alpha1.CaptureResult, error) {
	response, err := n.Guard.Capture(ctx, request, smallResponse...)

	return first(response.GetMessages(), err)
}
