// SPDX-License-Identifier: MPL-2.0

package client

import (
	"context"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Bounds of a list of resources. It is a stream, and maxResponse bounds only its messages.
const (
	// maxListedItems bounds the resources of a list.
	maxListedItems = 100_000
	// maxListedBytes bounds a list, in bytes.
	maxListedBytes = 16 << 20
)

// boundLists ends a list of resources that has more than maxListedItems resources, more than maxListedBytes bytes or one of another type
// than was asked for: COSI makes the Go type that the node names.
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

	if item, ok := message.(proto.Message); ok && err == nil {
		s.listed++
		s.bytes += proto.Size(item)

		if s.listed > maxListedItems || s.bytes > maxListedBytes {
			err = status.Errorf(codes.ResourceExhausted, "the guard lists more than %d resources or %d MiB of one type", maxListedItems, maxListedBytes>>20)
		}
	}

	if response, ok := message.(*v1alpha1.ListResponse); ok && err == nil {
		if kind := response.GetResource().GetMetadata().GetType(); kind != s.asked {
			err = status.Errorf(codes.DataLoss, "the guard lists a resource of type %.64q among those of type %q", kind, s.asked)
		}
	}

	if err != nil {
		s.cancel()
	}

	return err
}
