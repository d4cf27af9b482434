// SPDX-License-Identifier: MPL-2.0

//go:build linux

package identity_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	talosx509 "github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/resources/secrets"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
	"github.com/spegel-guard/spegel-guard/test/machined"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newPKI(t *testing.T) *pki.PKI {
	t.Helper()

	authority, err := pki.New()
	require.NoError(t, err)

	return authority
}

func material(t *testing.T, authority *pki.PKI) identity.Material {
	t.Helper()

	server, err := authority.Server("127.0.0.1")
	require.NoError(t, err)

	return identity.Material{CAs: [][]byte{authority.CA()}, Server: *server}
}

func TestNew_ErrorsContainNoKeys(t *testing.T) {
	authority := newPKI(t)
	good, other := material(t, authority), material(t, authority)

	for want, bad := range map[string]identity.Material{
		"server's certificate and key": {CAs: good.CAs, Server: talosx509.PEMEncodedCertificateAndKey{Crt: good.Server.Crt, Key: other.Server.Key}},
		"there is none":                {Server: good.Server},
		"holds no PEM certificate":     {CAs: [][]byte{good.CAs[0], []byte("x")}, Server: good.Server},
		"client's certificate and key": {CAs: good.CAs, Server: good.Server, Client: &talosx509.PEMEncodedCertificateAndKey{Crt: good.Server.Crt, Key: []byte("SECRET")}},
	} {
		_, err := identity.New(bad)
		require.ErrorContains(t, err, want)

		for _, secret := range []string{"SECRET", string(good.Server.Key), string(other.Server.Key), "PRIVATE"} {
			assert.NotContains(t, err.Error(), secret, want)
		}
	}
}

func TestIdentity_CheckOfAnOpenConnection(t *testing.T) {
	oldCA, newCA := newPKI(t), newPKI(t)

	pair, err := oldCA.Client("anna", time.Hour, role.Reader)
	require.NoError(t, err)

	block, _ := pem.Decode(pair.Crt)
	leaf, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)

	chain := []*x509.Certificate{leaf}
	before := material(t, oldCA)
	overlapping := material(t, newCA)
	overlapping.CAs = append(overlapping.CAs, oldCA.CA())
	after := material(t, newCA)

	check := func(m identity.Material, at time.Time) error {
		id, err := identity.New(m)
		require.NoError(t, err)

		return id.Check(chain, at)
	}

	assert.NoError(t, check(before, time.Now()))
	assert.NoError(t, check(overlapping, time.Now()))
	assert.ErrorIs(t, check(after, time.Now()), identity.ErrUnaccepted)
	assert.ErrorIs(t, check(before, time.Now().Add(2*time.Hour)), identity.ErrExpired)
}

// run runs a source until the test ends and collects its reports.
func run(t *testing.T, source interface {
	Run(ctx context.Context, store *identity.Store, report func(error)) error
}) (*identity.Store, <-chan error) {
	t.Helper()

	ctx, cancel := context.WithCancel(context.Background())
	store, reports, done := &identity.Store{}, make(chan error, 100), make(chan error)

	go func() { done <- source.Run(ctx, store, func(err error) { reports <- err }) }()

	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})

	return store, reports
}

func report(t *testing.T, reports <-chan error) error {
	t.Helper()

	select {
	case err := <-reports:
		return err
	case <-time.After(time.Minute):
		require.Fail(t, "no report")

		return nil
	}
}

// TestFiles_FollowsChanges replaces the directory of the files by a symbolic link, as Kubernetes does for a mounted secret.
func TestFiles_FollowsChanges(t *testing.T) {
	dir := t.TempDir()
	current := filepath.Join(dir, "current")
	paths := config.TLS{CA: filepath.Join(current, "ca"), Cert: filepath.Join(current, "cert"), Key: filepath.Join(current, "key")}

	write := func(name string, m identity.Material) {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o700))

		for file, content := range map[string][]byte{"ca": m.CAs[0], "cert": m.Server.Crt, "key": m.Server.Key} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name, file), content, 0o600))
		}
	}
	link := func(name string) {
		require.NoError(t, os.Symlink(name, filepath.Join(dir, "next")))
		require.NoError(t, os.Rename(filepath.Join(dir, "next"), current))
	}

	authority := newPKI(t)
	first, second := material(t, authority), material(t, authority)

	write("first", first)
	write("second", second)
	write("mixed", identity.Material{CAs: first.CAs, Server: talosx509.PEMEncodedCertificateAndKey{Crt: first.Server.Crt, Key: second.Server.Key}})
	link("first")

	store, reports := run(t, identity.Files{Paths: paths, Field: "api.tls"})

	require.NoError(t, report(t, reports))

	before, _ := store.Current()
	require.NotNil(t, before)

	link("second")
	require.NoError(t, report(t, reports))

	after, _ := store.Current()
	assert.NotEqual(t, before.Server.Certificates[0].Leaf.SerialNumber, after.Server.Certificates[0].Leaf.SerialNumber)

	// The last valid certificates stay in force.
	link("mixed")
	require.ErrorContains(t, report(t, reports), "certificate and key")

	require.NoError(t, os.Remove(current))
	require.ErrorContains(t, report(t, reports), "api.tls.ca")

	link("second")
	require.NoError(t, report(t, reports))

	last, _ := store.Current()
	assert.Same(t, after, last, "the certificates are the same")
}

func TestTalos_FollowsMachined(t *testing.T) {
	authority := newPKI(t)

	m, err := machined.New(t.Context(), filepath.Join(t.TempDir(), "machine.sock"), &secrets.API{})
	require.NoError(t, err)

	m.Services = machined.ThisProcess
	store, reports := run(t, identity.Talos{Socket: m.Socket, Retry: 20 * time.Millisecond})

	// machined is not started yet, then it has no certificates yet.
	require.ErrorContains(t, report(t, reports), m.Socket)
	require.NoError(t, m.Start())
	t.Cleanup(m.Stop)

	for err := report(t, reports); !strings.Contains(err.Error(), "no certificates"); err = report(t, reports) {
		require.Error(t, err)
	}

	worker, err := authority.TalosAPI(false, nil, "127.0.0.1")
	require.NoError(t, err)
	require.NoError(t, m.State.Create(t.Context(), worker))
	require.NoError(t, report(t, reports))

	id, _ := store.Current()
	require.NotNil(t, id)
	assert.Nil(t, id.Client, "workers have no client certificate")
	assert.True(t, id.Server.SessionTicketsDisabled)

	// apid accepts every client in maintenance mode. The guard does not.
	worker.TypedSpec().SkipVerifyingClientCert = true
	require.NoError(t, m.State.Update(t.Context(), worker))
	require.ErrorContains(t, report(t, reports), "maintenance mode")

	still, _ := store.Current()
	assert.Same(t, id, still)

	controlPlane, err := authority.TalosAPI(true, nil, "127.0.0.1")
	require.NoError(t, err)

	*worker.TypedSpec() = *controlPlane.TypedSpec()
	require.NoError(t, m.State.Update(t.Context(), worker))
	require.NoError(t, report(t, reports))

	id, _ = store.Current()
	assert.NotNil(t, id.Client)
}

// TestTalos_StartsInMaintenanceMode waits for the certificates that follow it.
func TestTalos_StartsInMaintenanceMode(t *testing.T) {
	m, err := machined.New(t.Context(), filepath.Join(t.TempDir(), "machine.sock"), &secrets.API{})
	require.NoError(t, err)

	m.Services = machined.ThisProcess

	api, err := newPKI(t).TalosAPI(false, nil, "127.0.0.1")
	require.NoError(t, err)

	api.TypedSpec().SkipVerifyingClientCert = true
	require.NoError(t, m.State.Create(t.Context(), api))
	require.NoError(t, m.Start())
	t.Cleanup(m.Stop)

	store, reports := run(t, identity.Talos{Socket: m.Socket, Retry: 20 * time.Millisecond})
	require.ErrorContains(t, report(t, reports), "maintenance mode")

	id, _ := store.Current()
	assert.Nil(t, id)

	api.TypedSpec().SkipVerifyingClientCert = false
	require.NoError(t, m.State.Update(t.Context(), api))
	require.NoError(t, report(t, reports))

	id, _ = store.Current()
	assert.NotNil(t, id)
}

// TestTalos_NotAdmitted is refused by machined, which admits processes of extension services only.
func TestTalos_NotAdmitted(t *testing.T) {
	m, err := machined.New(t.Context(), filepath.Join(t.TempDir(), "machine.sock"), &secrets.API{})
	require.NoError(t, err)

	m.Services, m.PIDTimeout = func() (map[string]int, error) { return nil, nil }, time.Millisecond
	require.NoError(t, m.Start())
	t.Cleanup(m.Stop)

	store, reports := run(t, identity.Talos{Socket: m.Socket, Retry: 20 * time.Millisecond})
	require.ErrorContains(t, report(t, reports), "not authorized")

	id, _ := store.Current()
	assert.Nil(t, id)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()

	_, err = store.Wait(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}
