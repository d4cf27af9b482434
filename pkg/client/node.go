// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/state"
	cosiclient "github.com/cosi-project/runtime/pkg/state/protobuf/client"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// Node is one node's guard.
type Node struct {
	// Name as it was given.
	Name string
	// Guard is the guard's own service, in full.
	Guard guardv1alpha1.GuardServiceClient
	// Resources are the guard's, read-only: the types of pkg/resources.
	Resources state.State

	machine machine.MachineServiceClient
}

func newNode(name string, conn grpc.ClientConnInterface) *Node {
	return &Node{
		Name: name, Guard: guardv1alpha1.NewGuardServiceClient(conn), machine: machine.NewMachineServiceClient(conn),
		Resources: state.WrapCore(cosiclient.NewAdapter(v1alpha1.NewStateClient(conn))),
	}
}

// errEmpty is the answer of something that is no guard.
var errEmpty = errors.New("the answer has no message in it")

// first is the node's own message: there is one when a single node was asked.
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

// Status is the state of the guard and of every target.
func (n *Node) Status(ctx context.Context) (*guardv1alpha1.Status, error) {
	response, err := n.Guard.Status(ctx, &guardv1alpha1.StatusRequest{})

	return first(response.GetMessages(), err)
}

// Explain is why: rules, what a ceiling waits for, orders, conditions. An empty target is all of them.
func (n *Node) Explain(ctx context.Context, target string) (*guardv1alpha1.Explanation, error) {
	response, err := n.Guard.Explain(ctx, &guardv1alpha1.ExplainRequest{Target: target})

	return first(response.GetMessages(), err)
}

// History is what targets did, back to an hour ago; since 0 is all there is.
func (n *Node) History(ctx context.Context, target string, since time.Duration) (*guardv1alpha1.History, error) {
	request := &guardv1alpha1.HistoryRequest{Target: target}

	if since != 0 {
		request.Since = durationpb.New(since)
	}

	response, err := n.Guard.History(ctx, request)

	return first(response.GetMessages(), err)
}

// Doctor is what the guard needs of its node, and how to mend it.
func (n *Node) Doctor(ctx context.Context) (*guardv1alpha1.Checkup, error) {
	response, err := n.Guard.Doctor(ctx, &guardv1alpha1.DoctorRequest{})

	return first(response.GetMessages(), err)
}

// Version is the guard's, in the shape of Talos' own.
func (n *Node) Version(ctx context.Context) (*machine.Version, error) {
	response, err := n.machine.Version(ctx, &emptypb.Empty{})

	return first(response.GetMessages(), err)
}

// Release takes ceilings back and lets none be written for a while.
func (n *Node) Release(ctx context.Context, request *guardv1alpha1.ReleaseRequest) (*guardv1alpha1.Act, error) {
	response, err := n.Guard.Release(ctx, request)

	return first(response.GetMessages(), err)
}

// Throttle puts a ceiling on targets for a while.
func (n *Node) Throttle(ctx context.Context, request *guardv1alpha1.ThrottleRequest) (*guardv1alpha1.Act, error) {
	response, err := n.Guard.Throttle(ctx, request)

	return first(response.GetMessages(), err)
}

// Pause lets nothing be written on the node for a while.
func (n *Node) Pause(ctx context.Context, request *guardv1alpha1.PauseRequest) (*guardv1alpha1.Act, error) {
	response, err := n.Guard.Pause(ctx, request)

	return first(response.GetMessages(), err)
}

// Resume ends what people ordered before its time.
func (n *Node) Resume(ctx context.Context, request *guardv1alpha1.ResumeRequest) (*guardv1alpha1.Act, error) {
	response, err := n.Guard.Resume(ctx, request)

	return first(response.GetMessages(), err)
}

// Capture keeps what targets say of themselves now, on the node.
func (n *Node) Capture(ctx context.Context, request *guardv1alpha1.CaptureRequest) (*guardv1alpha1.Act, error) {
	response, err := n.Guard.Capture(ctx, request)

	return first(response.GetMessages(), err)
}

// Events hands on what the node streams, until it ends, an error or the function's own. With Once that is
// behind the tail; else it goes on until the context ends.
func (n *Node) Events(ctx context.Context, request *guardv1alpha1.EventsRequest, each func(*guardv1alpha1.EventsResponse) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	stream, err := n.Guard.Events(ctx, request)
	if err != nil {
		return err
	}

	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}

		if err == nil {
			err = each(event)
		}

		if err != nil {
			return err
		}
	}
}
