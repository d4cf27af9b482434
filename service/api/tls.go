package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// TLSFromFiles reads the server's certificate and the CA of its clients. A client without a
// certificate of that CA does not get past the handshake.
func TLSFromFiles(files config.TLS) (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, fmt.Errorf("error loading api.tls.cert and api.tls.key: %w", err)
	}

	ca, err := os.ReadFile(files.CA)
	if err != nil {
		return nil, fmt.Errorf("error loading api.tls.ca: %w", err)
	}

	pool := x509.NewCertPool()

	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("error loading api.tls.ca: %w", errors.New(files.CA+" holds no PEM certificate"))
	}

	return &tls.Config{
		Certificates: []tls.Certificate{certificate},
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   tls.VersionTLS13,
	}, nil
}
