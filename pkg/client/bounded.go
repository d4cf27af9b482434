// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"
	"slices"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/resource"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Bounds of a list of resources. It is a stream, and maxResponse bounds only its messages. A resource takes hundreds of times as much memory
// as its bytes.
const (
	// maxTargets bounds the resources of a type: guards have at most one of a type for each target, and a target is a pod. A guard knows
	// the names and UIDs of 1024 pods (service/internal/controllers: maxPods), and a node has some hundred.
	maxTargets = 1024
	// maxRules is how many rules a document can have (pkg/config). Each has a state for each target.
	maxRules = 16
	// maxFields bounds the labels, annotations, finalizers and fields of a resource: a list in a spec has a field for each element. Specs of
	// guards have less than 50.
	maxFields = 256
	// maxForeign bounds a resource of a type that only a newer guard has, in bytes: its YAML takes a hundred times as much memory.
	maxForeign = 256 << 10
	// maxListedBytes bounds a list, in bytes.
	maxListedBytes = 16 << 20
)

// listBounds returns how many resources a list of a type may have, and how many fields each of them.
func listBounds(kind resource.Type) (items, fields int) {
	switch kind {
	case resources.GuardConfigType:
		return 1, maxSettings + maxFields
	case resources.RuleStatusType:
		return maxRules * maxTargets, maxFields
	default:
		return maxTargets, maxFields
	}
}

// boundLists ends a list of resources that exceeds listBounds or maxListedBytes, or has a resource of another type than was asked for: COSI
// makes the Go type that the node names.
func boundLists(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if method != v1alpha1.State_List_FullMethodName {
		return streamer(ctx, desc, conn, method, opts...)
	}

	ctx, cancel := context.WithCancel(ctx)

	stream, err := streamer(ctx, desc, conn, method, opts...)
	if err != nil {
		cancel()

		return nil, err
	}

	return &boundedStream{ClientStream: stream, cancel: cancel}, nil
}

// boundedStream is the stream of a list.
type boundedStream struct {
	grpc.ClientStream

	cancel        context.CancelFunc
	asked         string
	listed, bytes int
}

// SendMsg implements grpc.ClientStream.
func (s *boundedStream) SendMsg(message any) error {
	if request, ok := message.(*v1alpha1.ListRequest); ok {
		s.asked = request.GetType()
	}

	return s.ClientStream.SendMsg(message)
}

// RecvMsg implements grpc.ClientStream.
func (s *boundedStream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)

	if response, ok := message.(*v1alpha1.ListResponse); ok && err == nil {
		err = s.check(response.GetResource())
	}

	if err != nil {
		s.cancel()
	}

	return err
}

// check returns an error if the list exceeds a bound with its next resource.
func (s *boundedStream) check(next *v1alpha1.Resource) error {
	items, fields := listBounds(s.asked)
	size := proto.Size(next)

	s.listed++
	s.bytes += size

	switch kind := next.GetMetadata().GetType(); {
	case s.listed > items || s.bytes > maxListedBytes:
		return status.Errorf(codes.ResourceExhausted, "the guard lists more than %d resources or %d MiB of type %.64q", items, maxListedBytes>>20, s.asked)
	case kind != s.asked:
		return status.Errorf(codes.DataLoss, "the guard lists a resource of type %.64q among those of type %.64q", kind, s.asked)
	case elementsOf(next, fields) > fields:
		return status.Errorf(codes.ResourceExhausted, "the guard lists a resource of type %.64q with more than %d fields", kind, fields)
	case size > maxForeign && !slices.Contains(resources.Types(), kind):
		return status.Errorf(codes.ResourceExhausted, "the guard lists a resource of the unknown type %.64q with more than %d KiB", kind, maxForeign>>10)
	default:
		return nil
	}
}

// elementsOf returns how many labels, annotations, finalizers and fields a resource has; at least most+1 if it has more.
func elementsOf(r *v1alpha1.Resource, most int) int {
	md := r.GetMetadata()

	return len(md.GetLabels()) + len(md.GetAnnotations()) + len(md.GetFinalizers()) + fieldsOf(r.GetSpec().GetProtoSpec(), most)
}
