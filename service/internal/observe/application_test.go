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

		return p.add(time.Duration(seconds)*time.Second, answer, gometrics.Value{Unavailable: reasonNoReadiness})
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

	lost := p.add(110*time.Second, gometrics.Unavailable("lost"), gometrics.Value{Unavailable: reasonNoReadiness})
	assert.Equal(t, resources.Unavailable("lost"), lost.AllocBytesPerSecond)
	assert.Equal(t, resources.Warming(), at(120, 2e6, 40, 10).AllocBytesPerSecond)
}

func TestApplication_Mirror(t *testing.T) {
	p := newApplication()
	value := func(number float64) gometrics.Value { return gometrics.Value{Number: number} }

	at := func(seconds int, requests, hits, success, took, peers float64) resources.ApplicationStats {
		answer := gometrics.Unavailable("lost")
		answer.MirrorRequests, answer.MirrorHits, answer.MirrorLastSuccess = value(requests), value(hits), value(success)
		answer.ResolveSeconds, answer.Resolves = value(took), value(peers)

		return p.add(time.Duration(seconds)*time.Second, answer, gometrics.Value{Unavailable: reasonNoReadiness})
	}

	first := at(10, 100, 93, 0, 0.8, 100)
	assert.Equal(t, resources.Warming(), first.ResolveSeconds)
	assert.Equal(t, resources.Unavailable("no peer has served a request yet"), first.MirrorLastSuccess)
	assert.Equal(t, []float64{100, 93}, []float64{first.MirrorRequests, first.MirrorHits}, "a total is known before its rate")

	second := at(20, 110, 102, 1.7871e9, 0.807, 102)
	assert.Equal(t, resources.Derived(0.0035), second.ResolveSeconds, "7 ms for 2 peers")
	assert.Equal(t, measured(1.7871e9), second.MirrorLastSuccess)
	assert.Equal(t, resources.Derived(0.9), second.MirrorHitRatio)
	assert.Equal(t, measured(0.9), second.MirrorHitsPerSecond)

	assert.Equal(t, resources.Unavailable("no lookup has found a peer since the answer before"), at(30, 110, 102, 1.7871e9, 0.807, 102).ResolveSeconds)
	assert.Equal(t, resources.Unavailable(reasonWentBack), at(40, 110, 102, 1.7871e9, 0.1, 103).ResolveSeconds)

	p.add(50*time.Second, gometrics.Unavailable("lost"), gometrics.Value{Unavailable: reasonNoReadiness})
	assert.Equal(t, resources.Unavailable(reasonWentBack), at(60, 110, 102, 1.7871e9, 0.2, 104).ResolveSeconds, "distrust outlasts a lost answer")
}

// TestApplication_Unready: the time between two answers counts when the later one is not ready.
func TestApplication_Unready(t *testing.T) {
	p := newApplication()
	answer := gometrics.Unavailable("lost")
	ready, unready, lost := gometrics.Value{Number: 1}, gometrics.Value{}, gometrics.Value{Unavailable: "refused"}

	for i, step := range []struct {
		ready   gometrics.Value
		reading resources.Reading
		seconds float64
	}{
		{unready, measured(0), 0}, // since when is unknown
		{unready, measured(0), 10},
		{ready, measured(1), 10},
		{unready, measured(0), 20},
		{lost, resources.Unavailable("refused"), 20},
		{unready, measured(0), 20},
		{unready, measured(0), 30},
	} {
		stats := p.add(time.Duration(10*(i+1))*time.Second, answer, step.ready)
		assert.Equal(t, step.reading, stats.Ready, "step %d", i)
		assert.InDelta(t, step.seconds, stats.UnreadySeconds, 1e-9, "step %d", i)
	}
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
			}, nil)

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
