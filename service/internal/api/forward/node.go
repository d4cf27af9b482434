// SPDX-License-Identifier: MPL-2.0

package forward

import (
	"context"
	"fmt"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/service/internal/api/auth"
)

// peerNode is the guard that a request is forwarded to. It implements proxy.Backend.
type peerNode struct {
	peers  *peers
	target string
	// combined tells that the response waits for those of other nodes.
	combined bool
}

// Bounds of the time for one node's response among those of others, which one silent node would keep from the client.
const (
	// answerTimeout is above the time that the longest request takes, a capture with a profile.
	answerTimeout = 2 * time.Minute
	// answerMargin is the time before the client's deadline at which the responses that have arrived are sent; of a short one
	// it is a quarter.
	answerMargin = time.Second
)

// answerWithin returns how long a node may take to answer.
func answerWithin(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return answerTimeout
	}

	left := time.Until(deadline)

	return min(answerTimeout, left-min(answerMargin, left/4))
}

// String implements proxy.Backend.
func (n *peerNode) String() string { return n.target }

// GetConnection implements proxy.Backend. Nothing of the client's metadata is passed on. The caller is named to the
// next guard, which accepts this because of this guard's certificate.
func (n *peerNode) GetConnection(ctx context.Context, _ string) (context.Context, *grpc.ClientConn, error) {
	md := auth.FromContext(ctx).Metadata()
	md.Set(proxyFromKey, n.peers.name.String())

	if n.combined {
		var cancel context.CancelFunc

		ctx, cancel = context.WithTimeout(ctx, answerWithin(ctx))
		context.AfterFunc(ctx, func() { task.Do("end a call of a guard", cancel) })
	}

	conn, err := n.peers.get(ctx, n.target)

	return metadata.NewOutgoingContext(ctx, md), conn, err
}

// messages is the number of the field "messages" in responses, and of "metadata" in messages.
const messages protowire.Number = 1

// AppendInfo implements proxy.Backend: it adds the node's name to a response. A response has the field messages only;
// a second metadata field in a message is merged into the first one.
func (n *peerNode) AppendInfo(streaming bool, response []byte) (named []byte, err error) {
	defer recovered("name the node of a response", &err)

	name, err := n.metadata(nil)
	if err != nil || streaming {
		return append(response, name...), err
	}

	for len(response) > 0 {
		number, kind, size := protowire.ConsumeTag(response)
		if size < 0 || number != messages || kind != protowire.BytesType {
			return nil, fmt.Errorf("unexpected response of %s: it has other fields than messages", n.target)
		}

		message, length := protowire.ConsumeBytes(response[size:])
		if length < 0 {
			return nil, fmt.Errorf("failed to read the response of %s: %w", n.target, protowire.ParseError(length))
		}

		response = response[size+length:]
		named = protowire.AppendTag(named, messages, protowire.BytesType)
		named = protowire.AppendVarint(named, uint64(len(message)+len(name)))
		named = append(append(named, message...), name...)
	}

	return named, nil
}

// BuildError implements proxy.Backend: the error of a node is one message among those of the others.
func (n *peerNode) BuildError(streaming bool, failure error) (_ []byte, err error) {
	defer recovered("name the node of an error", &err)

	message, err := n.metadata(n.peers.explain(n.target, failure))
	if err != nil || streaming {
		return message, err
	}

	return protowire.AppendBytes(protowire.AppendTag(nil, messages, protowire.BytesType), message), nil
}

// recovered is deferred: it turns a panic into an error, because the proxy calls a Backend in goroutines of its own.
func recovered(name string, err *error) {
	if p := recover(); p != nil {
		*err = task.Recovered(name, p)
	}
}

// metadata returns the encoded field of that name, which is the same in all messages.
func (n *peerNode) metadata(failure error) ([]byte, error) {
	md := &common.Metadata{Hostname: n.target}

	if failure != nil {
		md.Error, md.Status = failure.Error(), status.Convert(failure).Proto()
	}

	return proto.Marshal(&common.Empty{Metadata: md})
}
