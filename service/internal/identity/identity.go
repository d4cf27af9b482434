// SPDX-License-Identifier: MPL-2.0

// Package identity is what the API shows of itself and whom it accepts: certificates and authorities, from
// Talos or from files, and how they change while it serves.
//
// Key material is kept in memory alone, and no error and no log line holds any.
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
)

// Material are PEM texts as a source has them.
type Material struct {
	// CAs whose certificates are accepted, each one or more certificates.
	CAs [][]byte
	// Server is the certificate that is shown to clients.
	Server talosx509.PEMEncodedCertificateAndKey
	// Client is the certificate that is shown to other nodes; nil where there is none.
	Client *talosx509.PEMEncodedCertificateAndKey
}

// sum tells two materials apart.
func (m Material) sum() [sha256.Size]byte {
	hash := sha256.New()
	parts := append([][]byte{m.Server.Crt, m.Server.Key}, m.CAs...)

	if m.Client != nil {
		parts = append(parts, m.Client.Crt, m.Client.Key)
	}

	for _, part := range parts {
		fmt.Fprintf(hash, "%d:", len(part)) //nolint:errcheck // a hash takes everything
		hash.Write(part)
	}

	return [sha256.Size]byte(hash.Sum(nil))
}

// Identity is one state of it. It never changes: another one takes its place.
type Identity struct {
	// Server is for accepting connections, Client for opening ones to other nodes; nil where there is no
	// client certificate.
	Server, Client *tls.Config
	// NotBefore and NotAfter are when the server's certificate begins and ceases to be valid.
	NotBefore, NotAfter time.Time

	accepted *x509.CertPool
}

// Errors about certificates that a call was made with.
var (
	ErrExpired    = errors.New("the certificate has expired")
	ErrUnaccepted = errors.New("the certificate's authority is not accepted any more")
)

// New makes an identity. TLS 1.3 is the only version, and sessions are not resumed: a resumed one would
// not be checked against the authorities of now.
func New(material Material) (*Identity, error) {
	server, err := tls.X509KeyPair(material.Server.Crt, material.Server.Key)
	if err != nil {
		return nil, fmt.Errorf("error loading the server's certificate and key: %w", err)
	}

	if len(material.CAs) == 0 {
		return nil, errors.New("error loading the accepted CAs: there is none")
	}

	var authorities []talostls.ConfigOptionFunc

	for _, ca := range material.CAs {
		if !x509.NewCertPool().AppendCertsFromPEM(ca) {
			return nil, errors.New("error loading the accepted CAs: one holds no PEM certificate")
		}

		authorities = append(authorities, talostls.WithCACertPEM(ca))
	}

	// These are talostls' defaults; what the guard relies on is said here.
	pinned := talostls.ConfigOptionFunc(func(cfg *tls.Config) error {
		cfg.MinVersion, cfg.SessionTicketsDisabled = tls.VersionTLS13, true

		return nil
	})

	id := &Identity{NotBefore: server.Leaf.NotBefore, NotAfter: server.Leaf.NotAfter}

	if id.Server, err = talostls.New(append(authorities, pinned, talostls.WithClientAuthType(talostls.Mutual), talostls.WithKeypair(server))...); err != nil {
		return nil, fmt.Errorf("error making the server's TLS configuration: %w", err)
	}

	id.accepted = id.Server.ClientCAs

	if material.Client == nil {
		return id, nil
	}

	client, err := tls.X509KeyPair(material.Client.Crt, material.Client.Key)
	if err != nil {
		return nil, fmt.Errorf("error loading the client's certificate and key: %w", err)
	}

	if id.Client, err = talostls.New(append(authorities, pinned, talostls.WithKeypair(client))...); err != nil {
		return nil, fmt.Errorf("error making the client's TLS configuration: %w", err)
	}

	return id, nil
}

// Check tells whether a verified connection's certificate is still good: a connection may outlive both
// its certificate and the acceptance of its authority. Both are sentinel errors.
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

// keeper puts a source's identities in force, and tells of what changed.
type keeper struct {
	store  *Store
	report func(error)

	inForce [sha256.Size]byte
	failed  string
}

// take puts the material in force, unless it is already. The last good one stays when it is of no use.
func (k *keeper) take(material Material) {
	sum := material.sum()
	if sum == k.inForce {
		if k.failed != "" {
			k.failed = ""
			k.report(nil) // the good one is back
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

// fail tells of an error, once.
func (k *keeper) fail(err error) {
	if text := err.Error(); text != k.failed {
		k.failed = text
		k.report(err)
	}
}
