// SPDX-License-Identifier: MPL-2.0

package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/internal/printable"
	"github.com/spegel-guard/spegel-guard/internal/unreachable"
)

// Causes why a node cannot be reached, for errors.Is on a NodeError.
var (
	// ErrRefused: nothing listens on the guard's port.
	ErrRefused error = unreachable.ErrRefused
	// ErrNoAnswer: no packet comes back, or no response in time.
	ErrNoAnswer error = unreachable.ErrNoAnswer
	// ErrUnknownName: DNS does not know the node's name.
	ErrUnknownName error = unreachable.ErrUnknownName
	// ErrServerNotTrusted: the node's certificate is of another CA than that of the talosconfig.
	ErrServerNotTrusted error = unreachable.ErrServerNotTrusted
	// ErrServerExpired: the node's certificate is not valid at this time.
	ErrServerExpired error = unreachable.ErrServerExpired
	// ErrServerName: the node's certificate is for other names and addresses.
	ErrServerName error = unreachable.ErrServerName
	// ErrClientExpired: the client certificate has expired.
	ErrClientExpired error = unreachable.ErrClientExpired
	// ErrClientNotTrusted: the node does not accept the client certificate.
	ErrClientNotTrusted error = unreachable.ErrClientNotTrusted
	// ErrNoGuard: another program listens on the port.
	ErrNoGuard error = unreachable.ErrNoGuard
	// ErrConnectionLost: the connection ended before the response.
	ErrConnectionLost error = unreachable.ErrConnectionLost
	// ErrTooManyFiles: this process has no more file descriptors, for its connections.
	ErrTooManyFiles error = unreachable.ErrTooManyFiles
)

// clipped bounds the text of an error of a node: gRPC accepts messages of 16 MiB.
func clipped(message string) string { return printable.Clip(message, printable.MaxText) }

// NodeError is the error of one node. Its text has at most 4 KiB of what the node sent.
type NodeError struct {
	Node string
	// Cause is why the node cannot be reached, one of the causes of this package; nil for an error that a guard returned.
	Cause error
	Err   error

	text, common string
}

// Error implements error.
func (e *NodeError) Error() string {
	if e.text == "" {
		return e.Node + ": " + clipped(e.Err.Error()) // not made by Node.Failure
	}

	return e.Node + ": " + e.text
}

// Common returns the error without the node's name and address: nodes that fail for one cause have the same text.
func (e *NodeError) Common() string {
	if e.common == "" {
		return clipped(e.Err.Error())
	}

	return e.common
}

// Unwrap returns the error without the node, and the cause if there is one.
func (e *NodeError) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Err}
	}

	return []error{e.Err, e.Cause}
}

// IsUnreachableError reports whether a node did not respond; false for a node that refused.
func IsUnreachableError(err error) bool {
	var node *NodeError

	if errors.As(err, &node) {
		err = node.Err
	}

	code := status.Code(err)

	return code == codes.Unavailable || code == codes.DeadlineExceeded || errors.Is(err, ErrStraggler)
}

// origin is what the errors of a node's connection are about.
type origin struct {
	// address of the server, and what it has in common with that of other nodes.
	address, common string
	// tls has the client certificate.
	tls *tls.Config
}

// Failure returns the error of a request to the node in words.
func (n *Node) Failure(err error) *NodeError {
	text, common, cause := n.explain(err)

	return &NodeError{Node: n.Name, Cause: cause, Err: err, text: text, common: common}
}

// explain returns the cause of an error, and the error in words: with the address of the node, and without.
func (n *Node) explain(err error) (text, common string, cause error) {
	// The status as the server sent it: what this package adds to it ("failed to read the status") is of no use here.
	var sent interface {
		error
		GRPCStatus() *status.Status
	}

	if !errors.As(err, &sent) {
		return clipped(err.Error()), clipped(err.Error()), nil
	}

	s := sent.GRPCStatus()
	message, found := clipped(s.Message()), unreachable.Of(s.Message())

	switch {
	case s.Code() == codes.DeadlineExceeded:
		return message, message, ErrNoAnswer
	case s.Code() == codes.Unimplemented && strings.Contains(s.Message(), "unknown service"):
		found = unreachable.ErrNoGuard
	case s.Code() == codes.Unauthenticated, found == unreachable.ErrClientNotTrusted, found == unreachable.ErrClientExpired:
		if text := expired(n.origin.tls, time.Now()); text != "" {
			return text, text, ErrClientExpired
		}
	}

	if found == nil {
		text = fmt.Sprintf("%s: %s", s.Code(), message)

		return text, text, nil
	}

	return found.At(n.origin.address), found.At(n.origin.common), found
}

// expired returns for how long the client certificate has been invalid; empty for one that is valid.
func expired(config *tls.Config, now time.Time) string {
	if config == nil || len(config.Certificates) == 0 {
		return ""
	}

	leaf := config.Certificates[0].Leaf
	if leaf == nil || !now.After(leaf.NotAfter) {
		return ""
	}

	ago := now.Sub(leaf.NotAfter)
	if ago > time.Minute {
		ago = ago.Truncate(time.Minute)
	}

	return fmt.Sprintf("client certificate expired %s ago: %s", duration.Format(ago), unreachable.RenewCertificate)
}

// portOf returns the port of an address; empty for one that has none.
func portOf(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}

	return port
}
