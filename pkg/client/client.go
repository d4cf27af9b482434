// SPDX-License-Identifier: MPL-2.0

// Package client reads and controls the guards of many nodes at once, as talosctl does with machines.
//
// A Fleet is opened from a talosconfig. Each node's guard is contacted directly at DefaultPort, or through endpoints
// that forward (api.forward in the guard's configuration). Status, Explain and Events are built from the guard's
// resources; Node.Resources reads any other.
//
// Responses come in the order in which they arrive: a node that is down or hangs does not delay the others.
package client

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	machineryclient "github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"google.golang.org/grpc"
)

const (
	// DefaultPort is the guard's (api.listen).
	DefaultPort = 50321
	// DefaultTimeout is the time limit for the response of a node.
	DefaultTimeout = 10 * time.Second
	// AllNodes as a node's name selects the nodes of the talosconfig's context.
	AllNodes = "all"
)

// Errors of a talosconfig.
var (
	ErrNoContext = errors.New("no such context in the talosconfig")
	ErrNoNodes   = errors.New("no nodes selected: set --nodes, or nodes or endpoints in the talosconfig")
	// ErrEmptyNode is the error for a node without a name.
	ErrEmptyNode = errors.New("one of the nodes has an empty name")
	// ErrTalosPort is the error for an address with the port of Talos' own API.
	ErrTalosPort = fmt.Errorf("port %d is that of Talos' own API, the guard's port is %d", constants.ApidPort, DefaultPort)
)

// Options of a fleet. The zero value uses the talosconfig's current context.
type Options struct {
	// Talosconfig is a path; empty selects talosctl's default ($TALOSCONFIG, ~/.talos/config, ...).
	Talosconfig string
	// Context in it; empty is the current one.
	Context string
	// Endpoints forward requests to the nodes, as talosctl's do; without any each node is contacted directly.
	Endpoints []string
	// Nodes are host or host:port. AllNodes, or an empty list, selects those of the context, or its endpoints if it has no
	// nodes.
	Nodes []string
	// Timeout of one node's response; 0 is DefaultTimeout. A watch has as long to begin, and at least DefaultTimeout.
	Timeout time.Duration
	// DialOptions are applied after the client's own, for instance another dialer.
	DialOptions []grpc.DialOption
}

// Open reads a talosconfig and returns a fleet of its nodes. It makes no connection yet.
func Open(options Options) (*Fleet, error) {
	context, err := ReadContext(options.Talosconfig, options.Context)
	if err != nil {
		return nil, err
	}

	return OpenContext(context, options)
}

// ReadContext reads one context of a talosconfig; an empty name is the current one.
func ReadContext(path, name string) (*clientconfig.Context, error) {
	config, err := ReadTalosconfig(path)
	if err != nil {
		return nil, err
	}

	if name == "" {
		name = config.Context
	}

	context, ok := config.Contexts[name]
	if !ok || context == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoContext, name)
	}

	return context, nil
}

// OpenContext returns a fleet with the credentials of a context. It ignores the options Talosconfig and Context.
func OpenContext(context *clientconfig.Context, options Options) (*Fleet, error) {
	credentials, err := TLS(context)
	if err != nil {
		return nil, err
	}

	nodes, err := nodesOf(context, options.Nodes)
	if err != nil {
		return nil, err
	}

	for _, address := range slices.Concat(options.Endpoints, nodes) {
		if host, port, err := net.SplitHostPort(hostOf(address)); err == nil && port == strconv.Itoa(constants.ApidPort) {
			return nil, fmt.Errorf("%w: use %s instead of %s", ErrTalosPort, host, address)
		}
	}

	timeout := options.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}

	return newFleet(credentials, options.Endpoints, nodes, timeout, options.DialOptions)
}

// nodesOf returns the selected nodes, each once.
func nodesOf(context *clientconfig.Context, selected []string) ([]string, error) {
	var nodes []string

	if len(selected) == 0 {
		selected = []string{AllNodes}
	}

	for _, node := range selected {
		if node == "" {
			return nil, ErrEmptyNode
		}

		if node != AllNodes {
			nodes = append(nodes, node)

			continue
		}

		nodes = append(nodes, context.Nodes...)

		if len(context.Nodes) == 0 {
			nodes = append(nodes, guards(context.Endpoints)...)
		}
	}

	seen := map[string]bool{}

	nodes = slices.DeleteFunc(nodes, func(node string) bool {
		again := seen[node]
		seen[node] = true

		return again
	})

	if len(nodes) == 0 {
		return nil, ErrNoNodes
	}

	return nodes, nil
}

// guards returns the endpoints of a talosconfig without apid's port, which is not the guard's.
func guards(endpoints []string) []string {
	nodes := make([]string, len(endpoints))

	for i, endpoint := range endpoints {
		endpoint = hostOf(endpoint)
		nodes[i] = endpoint

		if host, port, err := net.SplitHostPort(endpoint); err == nil && port == strconv.Itoa(constants.ApidPort) {
			nodes[i] = host
		}
	}

	return nodes
}

// TLS returns the credentials of a talosconfig's context, for TLS 1.3.
func TLS(context *clientconfig.Context) (*tls.Config, error) {
	if context.Auth.SideroV1 != nil {
		return nil, errors.New("invalid talosconfig: the context authenticates with SideroV1 (Omni), but the guard needs a client certificate: use the break-glass talosconfig of Omni")
	}

	pair, err := machineryclient.CertificateFromConfigContext(context)
	if err != nil {
		return nil, fmt.Errorf("failed to read the certificate of the talosconfig: %w", err)
	}

	if pair == nil {
		return nil, errors.New("invalid talosconfig: the context has no client certificate (crt and key)")
	}

	config := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*pair}}

	if context.CA != "" {
		ca, err := base64.StdEncoding.DecodeString(context.CA)
		if err != nil {
			return nil, fmt.Errorf("failed to read the ca of the talosconfig: %w", err)
		}

		config.RootCAs = x509.NewCertPool()

		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("invalid ca in the talosconfig: must be a PEM certificate in base64")
		}
	}

	return config, nil
}

// withPort adds the guard's port to an address without one.
func withPort(address string) string {
	address = hostOf(address)

	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}

	return net.JoinHostPort(trimBrackets(address), strconv.Itoa(DefaultPort))
}

// hostOf returns the host, and the port if there is one, of an endpoint that is a URL, as talosctl accepts it. Another address
// is returned unchanged.
func hostOf(endpoint string) string {
	if parsed, err := url.Parse(endpoint); err == nil && parsed.Scheme != "" && parsed.Host != "" {
		return parsed.Host
	}

	return endpoint
}

// trimBrackets removes the brackets of an IPv6 address.
func trimBrackets(address string) string {
	if len(address) > 1 && address[0] == '[' && address[len(address)-1] == ']' {
		return address[1 : len(address)-1]
	}

	return address
}
