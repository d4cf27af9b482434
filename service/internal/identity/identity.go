// SPDX-License-Identifier: MPL-2.0

// Package identity has the certificates of the API and the authorities that it accepts, from Talos or from files, and
// follows their changes. NodeName follows the hostname of the node.
//
// Keys are held in memory only. Errors and log messages contain none.
package identity

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	talostls "github.com/siderolabs/crypto/tls"
	talosx509 "github.com/siderolabs/crypto/x509"

	"github.com/spegel-guard/spegel-guard/internal/unreachable"
)

// Material is PEM data from a source.
type Material struct {
	// CAs are the accepted authorities, one or more certificates each.
	CAs [][]byte
	// Server is the certificate for clients.
	Server talosx509.PEMEncodedCertificateAndKey
	// Client is the certificate for connections to other nodes; nil if there is none.
	Client *talosx509.PEMEncodedCertificateAndKey
}

// sum returns a hash of the material.
func (m Material) sum() [sha256.Size]byte {
	hash := sha256.New()
	parts := append([][]byte{m.Server.Crt, m.Server.Key}, m.CAs...)

	if m.Client != nil {
		parts = append(parts, m.Client.Crt, m.Client.Key)
	}

	for _, part := range parts {
		fmt.Fprintf(hash, "%d:", len(part)) //nolint:errcheck // a hash never fails
		hash.Write(part)
	}

	return [sha256.Size]byte(hash.Sum(nil))
}

// Identity is an immutable set of certificates and authorities.
type Identity struct {
	// Server accepts connections, Client opens connections to other nodes; nil without a client certificate.
	Server, Client *tls.Config
	// NotBefore and NotAfter are the validity of the server certificate.
	NotBefore, NotAfter time.Time

	accepted *x509.CertPool
}

// Errors of client certificates.
var (
	ErrExpired    = errors.New("the client certificate has expired: " + unreachable.RenewCertificate)
	ErrUnaccepted = errors.New("the CA of the client certificate is not accepted any more: " + unreachable.RenewCertificate)
)

// New returns the identity of the material. It allows TLS 1.3 only, and no session resumption: a resumed session is not
// verified against the current authorities.
func New(material Material) (*Identity, error) {
	server, err := tls.X509KeyPair(material.Server.Crt, material.Server.Key)
	if err != nil {
		return nil, fmt.Errorf("failed to load the server's certificate and key: %w", err)
	}

	if len(material.CAs) == 0 {
		return nil, errors.New("failed to load the accepted CAs: there is none")
	}

	var authorities []talostls.ConfigOptionFunc

	for _, ca := range material.CAs {
		if !x509.NewCertPool().AppendCertsFromPEM(ca) {
			return nil, errors.New("failed to load the accepted CAs: one holds no PEM certificate")
		}

		authorities = append(authorities, talostls.WithCACertPEM(ca))
	}

	// These are defaults of talostls. They are set because the guard depends on them.
	pinned := talostls.ConfigOptionFunc(func(cfg *tls.Config) error {
		cfg.MinVersion, cfg.SessionTicketsDisabled = tls.VersionTLS13, true

		return nil
	})

	id := &Identity{NotBefore: server.Leaf.NotBefore, NotAfter: server.Leaf.NotAfter}

	if id.Server, err = talostls.New(append(authorities, pinned, talostls.WithClientAuthType(talostls.Mutual), talostls.WithKeypair(server))...); err != nil {
		return nil, fmt.Errorf("failed to create the server's TLS configuration: %w", err)
	}

	id.accepted = id.Server.ClientCAs

	if material.Client == nil {
		return id, nil
	}

	client, err := tls.X509KeyPair(material.Client.Crt, material.Client.Key)
	if err != nil {
		return nil, fmt.Errorf("failed to load the client's certificate and key: %w", err)
	}

	if id.Client, err = talostls.New(append(authorities, pinned, talostls.WithKeypair(client))...); err != nil {
		return nil, fmt.Errorf("failed to create the client's TLS configuration: %w", err)
	}

	return id, nil
}

// Check verifies the certificate of an open connection again, because a connection may outlive its certificate and the
// acceptance of its authority. It returns ErrExpired or ErrUnaccepted.
func (i *Identity) Check(chain []*x509.Certificate, now time.Time) error {
	leaf := chain[0]

	if now.After(leaf.NotAfter) {
		return ErrExpired
	}

	options := x509.VerifyOptions{
		Roots: i.accepted, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}

	for _, certificate := range chain[1:] {
		options.Intermediates.AddCert(certificate)
	}

	if _, err := leaf.Verify(options); err != nil {
		return fmt.Errorf("%w: %w", ErrUnaccepted, err)
	}

	return nil
}

// keeper stores the identities of a source and reports changes.
type keeper struct {
	store  *Store
	report func(error)

	inForce [sha256.Size]byte
	failed  string
}

// take stores the identity of the material unless it is in force already. If the material is invalid the last identity
// stays in force.
func (k *keeper) take(material Material) {
	sum := material.sum()
	if sum == k.inForce {
		if k.failed != "" {
			k.failed = ""
			k.report(nil)
		}

		return
	}

	id, err := New(material)
	if err != nil {
		k.fail(err)

		return
	}

	k.inForce, k.failed = sum, ""
	k.store.Set(id)
	k.report(nil)
}

// fail reports an error that differs from the last one.
func (k *keeper) fail(err error) {
	if text := err.Error(); text != k.failed {
		k.failed = text
		k.report(err)
	}
}
