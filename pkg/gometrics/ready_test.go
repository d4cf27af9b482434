// SPDX-License-Identifier: MPL-2.0

package gometrics_test

import (
	"context"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
	"github.com/spegel-guard/spegel-guard/test/hostile"
)

func TestClient_Ready(t *testing.T) {
	status := func(code int) gometrics.Dial {
		return hostile.Dial(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/readyz" {
				w.WriteHeader(code)
			}
		}))
	}

	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}

	for name, test := range map[string]struct {
		dial  gometrics.Dial
		ready bool
		err   string
	}{
		"ready":       {status(http.StatusOK), true, ""},
		"not ready":   {status(http.StatusInternalServerError), false, ""},
		"unavailable": {status(http.StatusServiceUnavailable), false, ""},
		"wrong path":  {status(http.StatusNotFound), false, "the answer's status is 404, which says nothing about being ready"},
		"redirect":    {status(http.StatusFound), false, "status is 302"},
		"silent":      {hostile.Dial(hostile.Handler(hostile.Silent)), false, ""},
		"huge header": {hostile.Dial(hostile.Handler(hostile.HugeHeader)), false, ""},
		"refused": {
			func(context.Context, string, string) (net.Conn, error) { return nil, refused }, false,
			"failed to read /readyz: connection refused",
		},
		"not connected in time": {
			func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()

				return nil, ctx.Err()
			}, false, "no complete answer within 3s",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := gometrics.NewClient(test.dial, 5000)
				defer client.Close()

				ready, err := client.Ready(t.Context(), "/readyz")
				assert.Equal(t, test.ready, ready)

				if test.err == "" {
					assert.NoError(t, err)
				} else {
					assert.ErrorContains(t, err, test.err)
				}
			})
		})
	}
}

// TestClient_ReadyAskedByNobody: a request that its caller ends says nothing about the target.
func TestClient_ReadyAskedByNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := gometrics.NewClient(hostile.Dial(hostile.Handler(hostile.Silent)), 5000)
		defer client.Close()

		ctx, cancel := context.WithCancel(t.Context())

		go func() {
			synctest.Wait()
			cancel()
		}()

		_, err := client.Ready(ctx, "/readyz")
		assert.ErrorIs(t, err, context.Canceled)
	})
}
