// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/spegel-guard/spegel-guard/service/internal/api/apitest"
)

// FuzzRequest sends any bytes as the request of any method that is served, as an administrator. A method may refuse them, but
// not fail for a reason of its own.
func FuzzRequest(f *testing.F) {
	conn := apitest.New(f, apitest.Options{}).Client(f, role.Admin).Conn()
	methods := served(f, conn)
	require.Greater(f, len(methods), 10)

	for i, method := range methods {
		f.Add(uint8(i), []byte(nil))
		f.Add(uint8(i), filled(f, method.Input()))
	}

	f.Fuzz(func(t *testing.T, i uint8, body []byte) {
		method := methods[int(i)%len(methods)]

		err := send(t.Context(), conn, method, body)
		if unparsed := strings.Contains(status.Convert(err).Message(), "unmarshal"); unparsed {
			return
		}

		switch code := status.Code(err); code {
		case codes.Internal, codes.Unknown, codes.DataLoss, codes.Unavailable:
			t.Errorf("%s: %v", method.FullName(), err)
		}
	})
}

// send calls a method, and ends a stream after its first answer or a moment.
func send(ctx context.Context, conn *grpc.ClientConn, method protoreflect.MethodDescriptor, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()

	path := "/" + string(method.Parent().FullName()) + "/" + string(method.Name())

	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path, grpc.ForceCodecV2(proxy.Codec()))
	if err != nil {
		return err
	}

	// An error of sending is that of receiving.
	if stream.SendMsg(proxy.NewFrame(body)) == nil {
		stream.CloseSend()
	}

	return stream.RecvMsg(proxy.NewFrame(nil))
}

// served returns the methods with one request that the server has, of all that are linked into the test.
func served(f *testing.F, conn *grpc.ClientConn) (methods []protoreflect.MethodDescriptor) {
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			all := file.Services().Get(i).Methods()

			for j := range all.Len() {
				method := all.Get(j)
				if !method.IsStreamingClient() && status.Code(send(f.Context(), conn, method, nil)) != codes.Unimplemented {
					methods = append(methods, method)
				}
			}
		}

		return true
	})

	return methods
}

// filled returns a request with a value in each field.
func filled(f *testing.F, input protoreflect.MessageDescriptor) []byte {
	message := dynamicpb.NewMessage(input)

	for i := range input.Fields().Len() {
		switch field := input.Fields().Get(i); {
		case field.IsMap():
		case field.IsList() && field.Kind() == protoreflect.StringKind:
			message.Mutable(field).List().Append(protoreflect.ValueOfString("x"))
		case field.IsList():
		case field.Kind() == protoreflect.StringKind:
			message.Set(field, protoreflect.ValueOfString("spegel"))
		case field.Kind() == protoreflect.MessageKind:
			message.Mutable(field)
		case field.Kind() == protoreflect.BoolKind:
			message.Set(field, protoreflect.ValueOfBool(true))
		}
	}

	body, err := proto.Marshal(message)
	require.NoError(f, err)

	return body
}
