// Package pki makes certificates as Talos does, for tests.
package pki

import (
	stdx509 "crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"time"

	"github.com/siderolabs/crypto/x509"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/role"
)

// PKI is a certificate authority.
type PKI struct {
	ca *x509.CertificateAuthority
}

// New makes a new certificate authority.
func New() (*PKI, error) {
	ca, err := x509.NewSelfSignedCertificateAuthority(
		x509.Organization("talos"), x509.NotAfter(time.Now().Add(24*time.Hour)),
	)
	if err != nil {
		return nil, fmt.Errorf("error making a CA: %w", err)
	}

	return &PKI{ca: ca}, nil
}

// ServerFiles are the PEM texts of the CA, and of a server's certificate and key for an address.
func (p *PKI) ServerFiles(ip string) (ca, cert, key string, err error) {
	pair, err := x509.NewKeyPair(p.ca, x509.IPAddresses([]net.IP{net.ParseIP(ip)}),
		x509.NotAfter(time.Now().Add(time.Hour)), x509.ExtKeyUsage(serverUsage))
	if err != nil {
		return "", "", "", err
	}

	pem := x509.NewCertificateAndKeyFromKeyPair(pair)

	return string(p.ca.CrtPEM), string(pem.Crt), string(pem.Key), nil
}

// ClientContext is a talosconfig context for an endpoint, with a certificate for the roles.
func (p *PKI) ClientContext(endpoint string, roles ...role.Role) (*clientconfig.Context, error) {
	set := role.MakeSet(roles...)

	pair, err := x509.NewKeyPair(p.ca, x509.Organization(set.Strings()...),
		x509.NotAfter(time.Now().Add(time.Hour)), x509.ExtKeyUsage(clientUsage))
	if err != nil {
		return nil, err
	}

	pem := x509.NewCertificateAndKeyFromKeyPair(pair)
	encode := base64.StdEncoding.EncodeToString

	return &clientconfig.Context{
		Endpoints: []string{endpoint},
		CA:        encode(p.ca.CrtPEM), Crt: encode(pem.Crt), Key: encode(pem.Key),
	}, nil
}

var (
	serverUsage = []stdx509.ExtKeyUsage{stdx509.ExtKeyUsageServerAuth}
	clientUsage = []stdx509.ExtKeyUsage{stdx509.ExtKeyUsageClientAuth}
)
