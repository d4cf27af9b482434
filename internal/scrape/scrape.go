// SPDX-License-Identifier: MPL-2.0

// Package scrape writes the configuration with which Prometheus scrapes the guards of a cluster: as a ScrapeConfig for the
// Prometheus operator, and as a part of Prometheus' own configuration.
package scrape

import (
	"errors"
	"fmt"
	"net"

	"github.com/spegel-guard/spegel-guard/internal/series"
	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// ErrNoMetrics means that the guards serve no metrics.
var ErrNoMetrics = errors.New("metrics.listen is not set, the guards serve no metrics: set it, for example to \":9470\"")

// Keys of the secret with the client certificate of Prometheus, those of the type kubernetes.io/tls and the CA.
const (
	caKey   = "ca.crt"
	certKey = "tls.crt"
	keyKey  = "tls.key"
)

// ClientCertificate is the default name of that secret.
const ClientCertificate = "spegel-guard-metrics"

// Endpoint is how the metrics of all guards are reached.
type Endpoint struct {
	port string
	tls  bool
	// Secret has the client certificate.
	secret string
}

// NewEndpoint returns the endpoint of a configuration. Without metrics.listen the error is ErrNoMetrics.
func NewEndpoint(exporter config.Exporter, secret string) (Endpoint, error) {
	if exporter.Listen == "" {
		return Endpoint{}, ErrNoMetrics
	}

	_, port, err := net.SplitHostPort(exporter.Listen)
	if err != nil {
		return Endpoint{}, fmt.Errorf("invalid metrics.listen %q: %w", exporter.Listen, err)
	}

	return Endpoint{port: port, tls: exporter.TLS.Source != config.TLSNone, secret: secret}, nil
}

// relabeling is a rule of both forms.
type relabeling struct {
	source, regex, target, replacement string
}

// relabelings returns the rules for nodes from the discovery of Kubernetes.
func (e Endpoint) relabelings() []relabeling {
	return []relabeling{
		// The address of a node has the port of the kubelet, and IPv6 addresses have brackets.
		{source: "__address__", regex: `(.+):\d+`, target: "__address__", replacement: "$1:" + e.port},
		{source: "__meta_kubernetes_node_name", target: "instance"},
		// The operator's own job has the name of the object.
		{target: "job", replacement: series.Job},
	}
}
