// SPDX-License-Identifier: MPL-2.0

// Package pki creates certificates as Talos does, for tests.
package pki

import (
	"bytes"
	"crypto/tls"
	stdx509 "crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"time"

	"github.com/siderolabs/crypto/x509"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/secrets"
	"github.com/siderolabs/talos/pkg/machinery/role"
)

// begin of all certificates: before the fixed time of tests (fleettest.Now).
var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// PKI is a certificate authority.
type PKI struct {
	ca *x509.CertificateAuthority
}

// Pair is a certificate and its key in PEM.
type Pair = x509.PEMEncodedCertificateAndKey

// New creates a certificate authority.
func New() (*PKI, error) {
	ca, err := x509.NewSelfSignedCertificateAuthority(
		x509.Organization("talos"), x509.NotAfter(time.Now().Add(24*time.Hour)),
	)
	if err != nil {
		return nil, fmt.Errorf("failed to create a CA: %w", err)
	}

	return &PKI{ca: ca}, nil
}

// CA returns the certificate of the CA in PEM.
func (p *PKI) CA() []byte { return p.ca.CrtPEM }

// Server creates a pair of a server for addresses and names.
func (p *PKI) Server(hosts ...string) (*Pair, error) {
	var (
		addresses []net.IP
		names     []string
	)

	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			addresses = append(addresses, ip)
		} else {
			names = append(names, host)
		}
	}

	return p.sign(x509.IPAddresses(addresses), x509.DNSNames(names), x509.NotAfter(time.Now().Add(time.Hour)),
		x509.ExtKeyUsage([]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageServerAuth}))
}

// Client creates a pair of a client with roles. It is valid for a time from now on, or has expired if that is negative.
func (p *PKI) Client(name string, valid time.Duration, roles ...role.Role) (*Pair, error) {
	set := role.MakeSet(roles...)

	return p.sign(x509.CommonName(name), x509.Organization(set.Strings()...),
		x509.NotBefore(begin), x509.NotAfter(time.Now().Add(valid)),
		x509.ExtKeyUsage([]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageClientAuth}))
}

func (p *PKI) sign(options ...x509.Option) (*Pair, error) {
	pair, err := x509.NewKeyPair(p.ca, options...)
	if err != nil {
		return nil, fmt.Errorf("failed to sign a certificate: %w", err)
	}

	return x509.NewCertificateAndKeyFromKeyPair(pair), nil
}

// ServerFiles returns the PEM texts of the CA, and of the certificate and key of a server with an address.
func (p *PKI) ServerFiles(ip string) (ca, cert, key string, err error) {
	pair, err := p.Server(ip)
	if err != nil {
		return "", "", "", err
	}

	return string(p.CA()), string(pair.Crt), string(pair.Key), nil
}

// TalosAPI returns the resource of machined with the certificates of apid and the guard (secrets.API), which also accepts other
// CAs. A control plane node has a client certificate.
func (p *PKI) TalosAPI(controlPlane bool, accepted []*PKI, ips ...string) (*secrets.API, error) {
	api := secrets.NewAPI()
	spec := api.TypedSpec()

	for _, ca := range append([]*PKI{p}, accepted...) {
		spec.AcceptedCAs = append(spec.AcceptedCAs, &x509.PEMEncodedCertificate{Crt: ca.CA()})
	}

	var err error

	if spec.Server, err = p.Server(ips...); err != nil {
		return nil, err
	}

	if controlPlane {
		if spec.Client, err = p.Client("apid", time.Hour, role.Impersonator); err != nil {
			return nil, err
		}
	}

	return api, nil
}

// ClientContext returns a talosconfig context for an endpoint with a certificate of the roles.
func (p *PKI) ClientContext(endpoint string, roles ...role.Role) (*clientconfig.Context, error) {
	pair, err := p.Client("client", time.Hour, roles...)
	if err != nil {
		return nil, err
	}

	return Context(pair, endpoint, p), nil
}

// Context returns a talosconfig context that presents a pair and trusts CAs.
func Context(pair *Pair, endpoint string, authorities ...*PKI) *clientconfig.Context {
	var cas [][]byte

	for _, ca := range authorities {
		cas = append(cas, ca.CA())
	}

	encode := base64.StdEncoding.EncodeToString

	return &clientconfig.Context{
		Endpoints: []string{endpoint},
		CA:        encode(bytes.Join(cas, []byte("\n"))), Crt: encode(pair.Crt), Key: encode(pair.Key),
	}
}

// ClientTLS returns the TLS configuration of a client. Without a pair it presents no certificate.
func ClientTLS(pair *Pair, authorities ...*PKI) (*tls.Config, error) {
	cfg := &tls.Config{RootCAs: stdx509.NewCertPool(), MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}}

	for _, ca := range authorities {
		cfg.RootCAs.AppendCertsFromPEM(ca.CA())
	}

	if pair == nil {
		return cfg, nil
	}

	certificate, err := tls.X509KeyPair(pair.Crt, pair.Key)
	cfg.Certificates = []tls.Certificate{certificate}

	return cfg, err
}

// ClientTLS returns the TLS configuration of a client with a name and roles, valid for an hour.
func (p *PKI) ClientTLS(name string, roles ...role.Role) (*tls.Config, error) {
	pair, err := p.Client(name, time.Hour, roles...)
	if err != nil {
		return nil, err
	}

	return ClientTLS(pair, p)
}
