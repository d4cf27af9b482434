// SPDX-License-Identifier: MPL-2.0

//go:build linux

package observe

import (
	"context"
	"net"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/hostile"
)

func TestApplication_Rates(t *testing.T) {
	p := newApplication()

	at := func(seconds int, allocated, requests, hits float64) resources.ApplicationStats {
		answer := gometrics.Unavailable("not among the metrics")
		answer.AllocBytes = gometrics.Value{Number: allocated}
		answer.MirrorRequests, answer.MirrorHits = gometrics.Value{Number: requests}, gometrics.Value{Number: hits}

		return p.add(time.Duration(seconds)*time.Second, answer)
	}

	first := at(10, 1000, 0, 0)
	assert.Equal(t, resources.Warming(), first.AllocBytesPerSecond)
	assert.Equal(t, resources.Unavailable("not among the metrics"), first.HeapBytes)

	second := at(20, 6000, 40, 10)
	assert.Equal(t, measured(500), second.AllocBytesPerSecond)
	assert.InDelta(t, 6000, second.Allocated, 0)
	assert.Equal(t, measured(4), second.MirrorRequestsPerSecond)
	assert.Equal(t, resources.Reading{Value: 0.25, Provenance: resources.ProvenanceDerived}, second.MirrorHitRatio)

	assert.Equal(t, resources.Unavailable("there were no requests"), at(30, 6000, 40, 10).MirrorHitRatio)
	assert.Equal(t, resources.Unavailable(reasonWentBack), at(40, 5, 40, 10).AllocBytesPerSecond)

	for i := range distrusted - 1 {
		assert.Equal(t, resources.Unavailable(reasonWentBack), at(50+i, 1000*float64(i+1), 40, 10).AllocBytesPerSecond, "once wrong, it is not believed at once")
	}

	assert.Equal(t, resources.ProvenanceMeasured, at(100, 1e6, 40, 10).AllocBytesPerSecond.Provenance)

	lost := p.add(110*time.Second, gometrics.Unavailable("lost"))
	assert.Equal(t, resources.Unavailable("lost"), lost.AllocBytesPerSecond)
	assert.Equal(t, resources.Warming(), at(120, 2e6, 40, 10).AllocBytesPerSecond)
}

// TestScraper_SurvivesHostileAnswers reads the answers of a hostile target, as a tick does, until they are unavailable.
func TestScraper_SurvivesHostileAnswers(t *testing.T) {
	for _, mode := range hostile.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()

			server := httptest.NewServer(hostile.Handler(mode))
			t.Cleanup(server.Close)

			_, text, err := net.SplitHostPort(server.Listener.Addr().String())
			require.NoError(t, err)

			port, err := strconv.ParseUint(text, 10, 16)
			require.NoError(t, err)

			s := startScraper(&sharedNamespace{Namespace: loopback{}}, config.Metrics{
				Port: config.Port{Number: uint16(port)}, Path: "/metrics", Interval: config.Duration{Duration: 100 * time.Millisecond},
			})

			var reading resources.Reading

			assert.Eventually(t, func() bool {
				reading = s.latest().AllocBytesPerSecond

				return reading.Provenance == resources.ProvenanceUnavailable && reading.Reason != "no answer yet"
			}, gometrics.Timeout+time.Minute, 10*time.Millisecond)

			t.Log(reading.Reason)
			s.stop()
		})
	}
}

// loopback is the namespace of the test.
type loopback struct{ net.Dialer }

func (l loopback) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return l.DialContext(ctx, network, address)
}

func (loopback) Links() (LinksReader, error) { return nil, nil }
func (loopback) Close()                      {}
