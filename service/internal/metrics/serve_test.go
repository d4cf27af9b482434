// SPDX-License-Identifier: MPL-2.0

//go:build linux

package metrics_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/service/internal/identity"
	"github.com/spegel-guard/spegel-guard/service/internal/metrics"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

func get(t *testing.T, handler http.Handler, method, path string) *httptest.ResponseRecorder {
	t.Helper()

	response := httptest.NewRecorder()
	handler.ServeHTTP(response, httptest.NewRequestWithContext(t.Context(), method, path, nil))

	return response
}

func TestHandler_ServesMetricsOnly(t *testing.T) {
	m, _, _ := incident(t)

	assert.Equal(t, http.StatusOK, get(t, m.Handler(false), http.MethodGet, "/metrics").Code)
	assert.Equal(t, http.StatusNotFound, get(t, m.Handler(false), http.MethodGet, "/").Code)
	assert.Equal(t, http.StatusNotFound, get(t, m.Handler(false), http.MethodGet, "/debug/pprof/").Code)
	assert.Equal(t, http.StatusMethodNotAllowed, get(t, m.Handler(false), http.MethodPost, "/metrics").Code)
	assert.Equal(t, http.StatusForbidden, get(t, m.Handler(true), http.MethodGet, "/metrics").Code, "roles without TLS")
}

// serve serves the incident's metrics until the test ends and returns the address.
func serve(t *testing.T, opts metrics.Options) string {
	t.Helper()

	m, _, _ := incident(t)

	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)

	opts.Listen = listener.Addr().String()
	require.NoError(t, listener.Close())

	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)

	go func() { served <- m.Serve(ctx, opts, zap.NewNop()) }()

	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-served)
	})

	require.Eventually(t, func() bool {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", opts.Listen)
		if err != nil {
			return false
		}

		return conn.Close() == nil
	}, time.Minute, 10*time.Millisecond)

	return opts.Listen
}

func fetch(t *testing.T, url string, cfg *tls.Config) (int, string, error) {
	t.Helper()

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}, Timeout: time.Minute}

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)

	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}

	defer response.Body.Close()

	body, err := io.ReadAll(response.Body)

	return response.StatusCode, string(body), err
}

func TestServe_WithoutTLS(t *testing.T) {
	code, body, err := fetch(t, "http://"+serve(t, metrics.Options{})+"/metrics", nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, code)
	assert.Contains(t, body, "spegel_guard_ceiling_cores")
}

func store(t *testing.T, authority *pki.PKI) *identity.Store {
	t.Helper()

	server, err := authority.Server("127.0.0.1")
	require.NoError(t, err)

	id, err := identity.New(identity.Material{CAs: [][]byte{authority.CA()}, Server: *server})
	require.NoError(t, err)

	s := &identity.Store{}
	s.Set(id)

	return s
}

func TestServe_WithMutualTLS(t *testing.T) {
	authority, err := pki.New()
	require.NoError(t, err)

	identities := store(t, authority)
	withRoles := "https://" + serve(t, metrics.Options{Identities: identities, Roles: true}) + "/metrics"
	anyClient := "https://" + serve(t, metrics.Options{Identities: identities}) + "/metrics"

	client := func(authority *pki.PKI, roles ...role.Role) *tls.Config {
		cfg, err := authority.ClientTLS("prometheus", roles...)
		require.NoError(t, err)

		cfg.NextProtos = nil // they are those of gRPC

		return cfg
	}

	code, body, err := fetch(t, withRoles, client(authority, role.Reader))
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, code)
	assert.Contains(t, body, "spegel_guard_ceiling_cores")

	code, body, err = fetch(t, withRoles, client(authority, role.EtcdBackup))
	require.NoError(t, err)
	assert.Equal(t, http.StatusForbidden, code)
	assert.Contains(t, body, "os:reader")

	code, _, err = fetch(t, anyClient, client(authority))
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, code, "without Roles every certificate of the CA may read")

	without := client(authority, role.Reader)
	without.Certificates = nil

	_, _, err = fetch(t, anyClient, without)
	require.Error(t, err, "a certificate is required")

	_, _, err = fetch(t, "http"+anyClient[len("https"):], nil)
	if err == nil {
		code, _, _ = fetch(t, "http"+anyClient[len("https"):], nil)
		assert.Equal(t, http.StatusBadRequest, code, "TLS is required")
	}

	// New connections use the newest identity.
	next, err := pki.New()
	require.NoError(t, err)

	current, _ := store(t, next).Current()
	identities.Set(current)

	_, _, err = fetch(t, anyClient, client(authority, role.Reader))
	require.Error(t, err)

	code, _, err = fetch(t, anyClient, client(next, role.Reader))
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, code)
}

func TestServe_WaitsForCertificates(t *testing.T) {
	m, _, _ := incident(t)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()

	require.ErrorIs(t, m.Serve(ctx, metrics.Options{Listen: "127.0.0.1:0", Identities: &identity.Store{}}, zap.NewNop()), context.DeadlineExceeded)
	require.Error(t, m.Serve(t.Context(), metrics.Options{Listen: "nowhere:-1"}, zap.NewNop()))
}
