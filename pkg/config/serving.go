// SPDX-License-Identifier: MPL-2.0

package config

// TLSSource says where the API's certificates come from.
type TLSSource string

// Sources of certificates.
const (
	// TLSTalos: the node's own certificates, which apid uses, from machined.
	TLSTalos TLSSource = "talos"
	// TLSNone: no TLS. The API has no TCP listener then, only its unix socket.
	TLSNone TLSSource = "none"
	// TLSFiles: PEM files on the node.
	TLSFiles TLSSource = "files"
)

// API is the gRPC server on TCP.
type API struct {
	// Listen is host:port; the host may be empty.
	Listen string `yaml:"listen"`
	TLS    TLS    `yaml:"tls"`
	// Forward requests for other nodes (talosctl -n) to their guards, as apid does. It needs tls.source talos and a client
	// certificate that those accept: only control plane nodes have one. All guards must listen on the same port.
	Forward bool `yaml:"forward"`
}

// TLS is mutual: where the certificates come from, and which clients are accepted. The paths belong to the source "files".
type TLS struct {
	// Source: talos (the node's own certificates, which apid has), files, or none: the API has no TCP listener, and the metrics are plain HTTP.
	Source TLSSource `yaml:"source"`
	// CA of the accepted clients.
	CA string `yaml:"ca"`
	// Cert is the server's certificate.
	Cert string `yaml:"cert"`
	// Key of Cert. It is never shown.
	Key string `yaml:"key"`
}

// Exporter serves the guard's own metrics to Prometheus.
type Exporter struct {
	// Listen is host:port; the host may be empty. Without it nothing is served.
	Listen string `yaml:"listen"`
	// TLS, with source none: plain HTTP.
	TLS TLS `yaml:"tls"`
}
