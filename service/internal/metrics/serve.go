// SPDX-License-Identifier: MPL-2.0

//go:build linux

package metrics

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// Bounds of requests.
const (
	// maxScrapes and maxScrapesPerHost are in progress at a time.
	maxScrapes        = 8
	maxScrapesPerHost = 2
	// timeout of a scrape, and of a client that reads its response.
	timeout = 10 * time.Second
	// headerTimeout is for TLS, and for the headers of a request.
	headerTimeout = 5 * time.Second
	// idleTimeout is above the interval of most scrapes. An idle connection is closed earlier when another one needs its place.
	idleTimeout = 30 * time.Second
	maxHeader   = 16 << 10
)

// Path is the path of the metrics.
const Path = "/metrics"

// readers are the roles that may read the metrics, the same as for the API.
var readers = role.MakeSet(role.Admin, role.Operator, role.Reader)

// Options configure the server.
type Options struct {
	Listen string
	// Identities are for mutual TLS; nil serves without.
	Identities *identity.Store
	// Roles requires a client certificate with a Talos role that may read.
	Roles bool
	// Served is called when the listener is open, if it is not nil.
	Served func()
}

// Handler serves GET requests for Path, in the text format or in OpenMetrics.
func (m *Metrics) Handler(roles bool) http.Handler {
	scrape := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes, Timeout: timeout, EnableOpenMetrics: true,
	})

	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, func(w http.ResponseWriter, r *http.Request) {
		if roles && !mayRead(r.TLS) {
			http.Error(w, "the certificate needs one of the roles os:reader, os:operator, os:admin", http.StatusForbidden)

			return
		}

		scrape.ServeHTTP(w, r)
	})

	return recovering(new(scrapes).bound(mux))
}

// recovering answers with an error after a panic. net/http recovers as well, and logs it as it does errors of connections.
func recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := task.Step("serve the metrics", func() error {
			next.ServeHTTP(w, r)

			return nil
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}

func mayRead(state *tls.ConnectionState) bool {
	if state == nil || len(state.PeerCertificates) == 0 {
		return false
	}

	roles, _ := role.Parse(state.PeerCertificates[0].Subject.Organization)

	return roles.IncludesAny(readers)
}

// Serve serves the metrics until the context ends. With identities it waits for the first one before it listens.
func (m *Metrics) Serve(ctx context.Context, opts Options, logger *zap.Logger) error {
	if opts.Identities != nil {
		if _, err := opts.Identities.Wait(ctx); err != nil {
			return err
		}
	}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", opts.Listen)
	if err != nil {
		return fmt.Errorf("failed to listen on metrics.listen: %w", err)
	}

	logger.Info("serving metrics", zap.Stringer("address", listener.Addr()), zap.Bool("tls", opts.Identities != nil))

	if opts.Served != nil {
		opts.Served()
	}

	connections := &connections{logger: logger}
	listener = boundedListener{Listener: listener, set: connections}

	if opts.Identities != nil {
		listener = tls.NewListener(listener, tlsConfig(opts.Identities))
	}

	// Errors of single connections are not logged: a port scan would fill the log.
	server := &http.Server{
		Handler: m.Handler(opts.Roles), ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: 2 * timeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ConnState: connections.follow, ErrorLog: zap.NewStdLog(logger.Named("metrics").WithOptions(zap.IncreaseLevel(zap.WarnLevel))),
	}

	stop := context.AfterFunc(ctx, func() { task.Do("stop the metrics", func() { server.Close() }) }) //nolint:errcheck // the server ends
	defer stop()

	if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("failed to serve the metrics on %s: %w", opts.Listen, err)
	}

	return nil
}

// tlsConfig returns a TLS configuration that uses the identity in force at each handshake.
func tlsConfig(store *identity.Store) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			id, _ := store.Current()
			cfg := id.Server.Clone()
			cfg.NextProtos = []string{"http/1.1"}

			return cfg, nil
		},
	}
}
