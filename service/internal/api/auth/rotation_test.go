// SPDX-License-Identifier: MPL-2.0

//go:build linux

package auth_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"github.com/siderolabs/talos/pkg/machinery/resources/secrets"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spegel-guard/spegel-guard/service/internal/api/apitest"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
	"github.com/spegel-guard/spegel-guard/test/machined"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// talos is a guard whose identity comes from the machined stand-in.
type talos struct {
	*apitest.Guard

	machined *machined.Machined
	reports  chan error
}

func newTalos(t *testing.T, authority *pki.PKI) *talos {
	t.Helper()

	m, err := machined.New(t.Context(), filepath.Join(t.TempDir(), "machine.sock"), &secrets.API{})
	require.NoError(t, err)

	m.Services = machined.ThisProcess
	require.NoError(t, m.Start())
	t.Cleanup(m.Stop)

	tt := &talos{machined: m, reports: make(chan error, 100)}
	tt.put(t, authority)

	ctx, cancel := context.WithCancel(context.Background())
	store := &identity.Store{}

	var group errgroup.Group

	group.Go(func() error {
		return identity.Talos{Socket: m.Socket, Retry: 50 * time.Millisecond}.Run(ctx, store, func(err error) { tt.reports <- err })
	})

	t.Cleanup(func() {
		cancel()
		assert.NoError(t, group.Wait())
	})

	tt.Guard = apitest.New(t, apitest.Options{PKI: authority, Store: store})

	return tt
}

// put has machined hold a certificate of an authority, and accept others beside it.
func (tt *talos) put(t *testing.T, authority *pki.PKI, accepted ...*pki.PKI) {
	t.Helper()

	next, err := authority.TalosAPI(true, accepted, "127.0.0.1")
	require.NoError(t, err)

	_, err = safe.StateUpdateWithConflicts(t.Context(), tt.machined.State, next.Metadata(), func(r *secrets.API) error {
		*r.TypedSpec() = *next.TypedSpec()

		return nil
	})
	if state.IsNotFoundError(err) {
		err = tt.machined.State.Create(t.Context(), next)
	}

	require.NoError(t, err)
}

// change is put, and waits until it is in force.
func (tt *talos) change(t *testing.T, authority *pki.PKI, accepted ...*pki.PKI) {
	t.Helper()

	_, changed := tt.Identities.Current()

	tt.put(t, authority, accepted...)

	select {
	case <-changed:
	case <-time.After(apitest.Patience):
		require.Fail(t, "the new certificates are not in force")
	}
}

// caller calls without a pause until its end.
type caller struct {
	calls, failed atomic.Int64
	last          atomic.Value
	stop          context.CancelFunc
	done          errgroup.Group
}

// load has clients call, each on a connection of its own and again and again on new ones.
func load(t *testing.T, clientContext func() *client.Client, perConnection int) *caller {
	t.Helper()

	ctx, cancel := context.WithCancel(context.Background())
	l := &caller{stop: cancel}

	for range 4 {
		l.done.Go(func() error {
			for ctx.Err() == nil {
				c := clientContext()

				for i := 0; ctx.Err() == nil && (perConnection == 0 || i < perConnection); i++ {
					began := time.Now()

					_, err := c.Version(ctx)
					l.calls.Add(1)

					if pki.IsLate(err, time.Since(began)) {
						break // further calls would fail at once, until this connection is connected again
					}

					if err != nil && ctx.Err() == nil {
						l.failed.Add(1)
						l.last.Store(err.Error())
					}
				}

				c.Close()
			}

			return nil
		})
	}

	t.Cleanup(l.end)

	return l
}

// waitCalls waits for so many more calls.
func (l *caller) waitCalls(t *testing.T, more int64) {
	t.Helper()

	want := l.calls.Load() + more
	require.Eventually(t, func() bool { return l.calls.Load() >= want }, apitest.Patience, time.Millisecond, "the calls do not go on")
}

func (l *caller) end() {
	l.stop()
	l.done.Wait()
}

// clientOf returns clients that show the pair and believe in both authorities. They do not wait for a
// connection: what fails, fails.
func clientOf(t *testing.T, endpoint string, pair *pki.Pair, authorities ...*pki.PKI) func() *client.Client {
	t.Helper()

	return func() *client.Client {
		c, err := client.New(context.Background(), client.WithConfigContext(pki.Context(pair, endpoint, authorities...)),
			client.WithGRPCDialOptions(grpc.WithDefaultCallOptions(grpc.WaitForReady(false))))
		if err != nil {
			panic(err)
		}

		return c
	}
}

// TestTLS_FollowsRotationUnderLoad goes through Talos' rotation of the API's CA: the new one is accepted, then the
// certificates are of it, then the old one is not accepted any more.
func TestTLS_FollowsRotationUnderLoad(t *testing.T) {
	oldCA, newCA := apitest.NewPKI(t), apitest.NewPKI(t)
	tt := newTalos(t, oldCA)

	require.NoError(t, <-tt.reports, "the first ones are in force")

	oldPair, err := oldCA.Client("old", time.Hour, role.Reader)
	require.NoError(t, err)

	newPair, err := newCA.Client("new", time.Hour, role.Reader)
	require.NoError(t, err)

	oldClient := clientOf(t, tt.Endpoint, oldPair, oldCA, newCA)
	newClient := clientOf(t, tt.Endpoint, newPair, oldCA, newCA)

	waitServing(t, oldClient())

	oldLoad := []*caller{load(t, oldClient, 0), load(t, oldClient, 5)}
	oldLoad[0].waitCalls(t, 20)
	oldLoad[1].waitCalls(t, 20)

	_, err = once(newClient)
	require.Equal(t, codes.Unavailable, status.Code(err), "not accepted yet: %v", err)

	// The new one is accepted; from here on its clients never fail.
	tt.change(t, oldCA, newCA)

	newLoad := []*caller{load(t, newClient, 0), load(t, newClient, 5)}
	oldWatch, newWatch := apitest.Watch(t, oldClient()), apitest.Watch(t, newClient())

	// Renewals of the server's certificate, first of the old authority, then of the new one.
	for _, issuer := range []*pki.PKI{oldCA, newCA} {
		for range 10 {
			other := newCA
			if issuer == newCA {
				other = oldCA
			}

			tt.change(t, issuer, other)

			// On new connections, too.
			newLoad[1].waitCalls(t, 10)
			oldLoad[1].waitCalls(t, 10)
		}
	}

	// machined is away for a while: the last good ones stay.
	tt.machined.Stop()
	waitError(t, tt.reports)
	newLoad[1].waitCalls(t, 20)
	require.NoError(t, tt.machined.Start())

	for _, l := range oldLoad {
		l.end()
		assert.Zero(t, l.failed.Load(), "old CA while it is accepted: %v", l.last.Load())
	}

	survivor := oldClient()
	defer survivor.Close()

	_, err = survivor.Version(t.Context())
	require.NoError(t, err)

	// The old one is not accepted any more.
	tt.change(t, newCA)

	assert.Eventually(t, func() bool {
		_, err := once(oldClient)

		return status.Code(err) == codes.Unavailable
	}, apitest.Patience, 20*time.Millisecond, "a new connection")
	assert.Eventually(t, func() bool {
		_, err := survivor.Version(t.Context())

		return err != nil
	}, apitest.Patience, 20*time.Millisecond, "an open connection")

	select {
	case err := <-oldWatch.Ended:
		assert.Equal(t, codes.Unavailable, status.Code(err), "an open stream: %v", err)
	case <-time.After(apitest.Patience):
		assert.Fail(t, "an open stream goes on")
	}

	var calls int64

	for _, l := range newLoad {
		l.waitCalls(t, 50)
		l.end()
		assert.Zero(t, l.failed.Load(), "new CA: %v", l.last.Load())

		calls += l.calls.Load()
	}

	// The stream of the accepted authority's client went through all of it.
	apitest.Poke(t, tt.Guard)

	select {
	case err := <-newWatch.Ended:
		require.Fail(t, "the stream was dropped", "%v", err)
	case event := <-newWatch.Events:
		assert.Equal(t, v1alpha1.EventType_UPDATED, event.GetEvent()[0].GetEventType())
	case <-time.After(apitest.Patience):
		require.Fail(t, "the stream is dead")
	}

	t.Logf("%d calls with the new CA, %d and %d with the old one, none failed", calls, oldLoad[0].calls.Load(), oldLoad[1].calls.Load())

	for _, entry := range tt.Logs.All() {
		assert.NotContains(t, entry.Message, "PRIVATE KEY")

		for _, value := range entry.ContextMap() {
			assert.NotContains(t, value, "PRIVATE KEY")
		}
	}
}

// TestIdentify_RefusesExpiredCertificates: what was good at the handshake is not good for ever.
func TestIdentify_RefusesExpiredCertificates(t *testing.T) {
	g := apitest.New(t, apitest.Options{})

	var c *client.Client

	// It must be good for the first call, however long that takes on this machine.
	for valid := 2 * time.Second; ; valid *= 2 {
		require.Less(t, valid, apitest.Patience)

		pair, err := g.PKI.Client("short", valid, role.Reader)
		require.NoError(t, err)

		c = apitest.Dial(t, pki.Context(pair, g.Endpoint, g.PKI))

		// A handshake that is too late is repeated for ever.
		ctx, cancel := context.WithTimeout(t.Context(), valid)
		_, err = c.Version(ctx)

		cancel()

		if err == nil {
			break
		}
	}

	assert.Eventually(t, func() bool {
		_, err := c.Version(t.Context())

		return status.Code(err) == codes.Unauthenticated
	}, apitest.Patience, 100*time.Millisecond)
}

func once(newClient func() *client.Client) (any, error) {
	c := newClient()
	defer c.Close()

	ctx, cancel := context.WithTimeout(context.Background(), apitest.Patience)
	defer cancel()

	return c.Version(ctx)
}

func waitServing(t *testing.T, c *client.Client) {
	t.Helper()

	defer c.Close()

	require.Eventually(t, func() bool {
		_, err := c.Version(t.Context())

		return err == nil
	}, apitest.Patience, 20*time.Millisecond)
}

// waitError waits for a report that is an error.
func waitError(t *testing.T, reports <-chan error) {
	t.Helper()

	for timeout := time.After(apitest.Patience); ; {
		select {
		case err := <-reports:
			if err != nil {
				return
			}
		case <-timeout:
			require.Fail(t, "no error is reported")
		}
	}
}
