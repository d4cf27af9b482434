// SPDX-License-Identifier: MPL-2.0

//go:build linux

package api

import (
	"context"
	"fmt"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// peerNode is another node's guard as the end of a forwarded request. It implements proxy.Backend.
type peerNode struct {
	peers  *peers
	target string
}

// String implements proxy.Backend.
func (n *peerNode) String() string { return n.target }

// GetConnection implements proxy.Backend. Of the client's metadata nothing is passed on; the next guard is
// told for whom it works, which it believes because of the certificate.
func (n *peerNode) GetConnection(ctx context.Context, _ string) (context.Context, *grpc.ClientConn, error) {
	who := callerFrom(ctx)

	md := metadata.Pairs(
		proxyFromKey, n.peers.name.String(),
		subjectKey, who.person.Subject, fingerprintKey, who.person.Fingerprint, fromKey, who.person.From,
	)
	md.Set(constants.APIAuthzRoleMetadataKey, who.roles.Strings()...)

	conn, err := n.peers.get(ctx, n.target)

	return metadata.NewOutgoingContext(ctx, md), conn, err
}

// messages is the number of the field "messages" in every response, and of "metadata" in every message.
const messages protowire.Number = 1

// AppendInfo implements proxy.Backend: it names the node in an answer. A response is made of the field
// messages alone; in each, another metadata field behind the first one is merged into it.
func (n *peerNode) AppendInfo(streaming bool, response []byte) ([]byte, error) {
	name, err := n.metadata(nil)
	if err != nil || streaming {
		return append(response, name...), err
	}

	var named []byte

	for len(response) > 0 {
		number, kind, size := protowire.ConsumeTag(response)
		if size < 0 || number != messages || kind != protowire.BytesType {
			return nil, fmt.Errorf("the answer of %s does not consist of messages", n.target)
		}

		message, length := protowire.ConsumeBytes(response[size:])
		if length < 0 {
			return nil, fmt.Errorf("error reading the answer of %s: %w", n.target, protowire.ParseError(length))
		}

		response = response[size+length:]
		named = protowire.AppendTag(named, messages, protowire.BytesType)
		named = protowire.AppendVarint(named, uint64(len(message)+len(name)))
		named = append(append(named, message...), name...)
	}

	return named, nil
}

// BuildError implements proxy.Backend: one node's error is one message among the others' answers.
func (n *peerNode) BuildError(streaming bool, failure error) ([]byte, error) {
	message, err := n.metadata(failure)
	if err != nil || streaming {
		return message, err
	}

	return protowire.AppendBytes(protowire.AppendTag(nil, messages, protowire.BytesType), message), nil
}

// metadata is the field of that name in any message.
func (n *peerNode) metadata(failure error) ([]byte, error) {
	md := &common.Metadata{Hostname: n.target}

	if failure != nil {
		md.Error, md.Status = failure.Error(), status.Convert(failure).Proto()
	}

	return proto.Marshal(&common.Empty{Metadata: md})
}
