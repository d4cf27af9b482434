// SPDX-License-Identifier: MPL-2.0

//go:build linux

package observe

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/hostile"
)

// served is a namespace in which handlers listen on ports of the loopback.
type served map[string]http.Handler

func (s served) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, _ := net.SplitHostPort(address)

	handler, ok := s[port]
	if !ok {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}

	return hostile.Dial(handler)(ctx, network, address)
}

func (served) Links() (LinksReader, error) { return nil, nil }
func (served) Close()                      {}

func TestScraper_MetricsAndReadiness(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		io.WriteString(w, "go_goroutines 87\n")
	})
	unready := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	arguments := func(port uint16, err error) func(string) (uint16, error) {
		return func(string) (uint16, error) { return port, err }
	}
	refused := func(path string) string { return "failed to read " + path + ": connection refused" }

	for name, test := range map[string]struct {
		namespace  served
		port       uint16
		readiness  uint16
		listenPort func(string) (uint16, error)
		goroutines resources.Reading
		ready      resources.Reading
	}{
		"metrics only": {
			namespace: served{"9090": metrics}, port: 9090,
			goroutines: measured(87), ready: resources.Unavailable(reasonNoReadiness),
		},
		"both": {
			namespace: served{"9090": metrics, "5000": unready}, port: 9090, readiness: 5000,
			goroutines: measured(87), ready: measured(0),
		},
		"readiness only": {
			namespace: served{"5000": unready}, readiness: 5000,
			goroutines: resources.Unavailable(reasonNoMetrics), ready: measured(0),
		},
		"other ports": {
			namespace: served{"9091": metrics}, port: 9090, readiness: 5000, listenPort: arguments(9091, nil),
			goroutines: resources.Unavailable(refused("/metrics") + ": target.metrics.port is 9090, and the target was started with port 9091 in --metrics-addr"),
			ready:      resources.Unavailable(refused("/readyz") + ": target.metrics.readiness.port is 5000, and the target was started with port 9091 in --registry-addr"),
		},
		"the port of the arguments": {
			namespace: served{}, port: 9090, readiness: 5000, listenPort: arguments(9090, nil),
			goroutines: resources.Unavailable(refused("/metrics")),
			ready:      resources.Unavailable(refused("/readyz") + ": target.metrics.readiness.port is 5000, and the target was started with port 9090 in --registry-addr"),
		},
		"no such argument": {
			namespace: served{}, port: 9090, readiness: 5000, listenPort: arguments(0, errors.New("none")),
			goroutines: resources.Unavailable(refused("/metrics")), ready: resources.Unavailable(refused("/readyz")),
		},
		"arguments that panic": {
			namespace: served{}, port: 9090, listenPort: func(string) (uint16, error) { panic("read") },
			goroutines: resources.Unavailable(refused("/metrics")), ready: resources.Unavailable(reasonNoReadiness),
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := startScraper(&sharedNamespace{Namespace: test.namespace}, config.Metrics{
					Port: config.Port{Number: test.port}, Path: "/metrics", Interval: config.Duration{Duration: 10 * time.Second},
					Readiness: config.Readiness{Port: config.Port{Number: test.readiness}, Path: "/readyz"},
				}, test.listenPort)

				time.Sleep(25 * time.Second)

				got := s.latest()
				assert.Equal(t, test.goroutines, got.Goroutines)
				assert.Equal(t, test.ready, got.Ready)

				s.stop()
				synctest.Wait()
			})
		})
	}
}

// TestScraper_ClockIsThatOfTheRequest: a slow answer has values of the time between, and counts for a probe only if it was requested in it.
func TestScraper_ClockIsThatOfTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requested := make(chan time.Duration, 1)

		s := startScraper(&sharedNamespace{Namespace: served{"9090": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			requested <- boottime.Now()

			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			io.WriteString(w, "go_goroutines 87\n")
		})}}, config.Metrics{Port: config.Port{Number: 9090}, Path: "/metrics", Interval: config.Duration{Duration: time.Minute}}, nil)

		time.Sleep(time.Second)

		assert.Equal(t, measured(87), s.latest().Goroutines)
		assert.LessOrEqual(t, s.latest().Clock, <-requested)

		s.stop()
		synctest.Wait()
	})
}
