// SPDX-License-Identifier: MPL-2.0

// Package pki makes certificates as Talos does, for tests.
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

// PKI is a certificate authority.
type PKI struct {
	ca *x509.CertificateAuthority
}

// Pair is a certificate and its key in PEM.
type Pair = x509.PEMEncodedCertificateAndKey

// New makes a new certificate authority.
func New() (*PKI, error) {
	ca, err := x509.NewSelfSignedCertificateAuthority(
		x509.Organization("talos"), x509.NotAfter(time.Now().Add(24*time.Hour)),
	)
	if err != nil {
		return nil, fmt.Errorf("failed to create a CA: %w", err)
	}

	return &PKI{ca: ca}, nil
}

// CA is the authority's certificate in PEM.
func (p *PKI) CA() []byte { return p.ca.CrtPEM }

// Server is a server's pair for some addresses and names.
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

// Client is a client's pair with roles, that is valid for a while from now on; or was, until so long ago.
func (p *PKI) Client(name string, valid time.Duration, roles ...role.Role) (*Pair, error) {
	set := role.MakeSet(roles...)

	return p.sign(x509.CommonName(name), x509.Organization(set.Strings()...),
		x509.NotBefore(time.Now().Add(-time.Hour)), x509.NotAfter(time.Now().Add(valid)),
		x509.ExtKeyUsage([]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageClientAuth}))
}

func (p *PKI) sign(options ...x509.Option) (*Pair, error) {
	pair, err := x509.NewKeyPair(p.ca, options...)
	if err != nil {
		return nil, fmt.Errorf("failed to sign a certificate: %w", err)
	}

	return x509.NewCertificateAndKeyFromKeyPair(pair), nil
}

// ServerFiles are the PEM texts of the CA, and of a server's certificate and key for an address.
func (p *PKI) ServerFiles(ip string) (ca, cert, key string, err error) {
	pair, err := p.Server(ip)
	if err != nil {
		return "", "", "", err
	}

	return string(p.CA()), string(pair.Crt), string(pair.Key), nil
}

// TalosAPI is what machined has for the guard and for apid (secrets.API), accepting other authorities, too.
// A control plane node has a client certificate.
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

// ClientContext is a talosconfig context for an endpoint, with a certificate for the roles.
func (p *PKI) ClientContext(endpoint string, roles ...role.Role) (*clientconfig.Context, error) {
	pair, err := p.Client("client", time.Hour, roles...)
	if err != nil {
		return nil, err
	}

	return Context(pair, endpoint, p), nil
}

// Context is a talosconfig context that shows a pair and believes in authorities.
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

// ClientTLS is for clients that are no Talos'. Without a pair none is shown.
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

// ClientTLS is for a client of the name with roles, valid for an hour, that is no Talos'.
func (p *PKI) ClientTLS(name string, roles ...role.Role) (*tls.Config, error) {
	pair, err := p.Client(name, time.Hour, roles...)
	if err != nil {
		return nil, err
	}

	return ClientTLS(pair, p)
}
