//go:build linux

package controllers

import (
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/hostile"
)

func TestProgramRates(t *testing.T) {
	var p program

	at := func(seconds int, allocated, requests, hits float64) resources.ApplicationStats {
		answer := gometrics.Unavailable("not among the metrics")
		answer.AllocBytes = gometrics.Value{Number: allocated}
		answer.MirrorRequests, answer.MirrorHits = gometrics.Value{Number: requests}, gometrics.Value{Number: hits}

		return p.add(time.Duration(seconds)*time.Second, answer)
	}

	first := at(10, 1000, 0, 0)
	assert.Equal(t, resources.Warming(), first.AllocBytesPerSecond)
	assert.Equal(t, unavailable("not among the metrics"), first.HeapBytes)

	second := at(20, 6000, 40, 10)
	assert.Equal(t, measured(500), second.AllocBytesPerSecond)
	assert.InDelta(t, 6000, second.Allocated, 0)
	assert.Equal(t, measured(4), second.MirrorRequestsPerSecond)
	assert.Equal(t, resources.Reading{Value: 0.25, Provenance: resources.ProvenanceDerived}, second.MirrorHitRatio)

	assert.Equal(t, unavailable("nothing was asked for"), at(30, 6000, 40, 10).MirrorHitRatio)
	assert.Equal(t, unavailable(wentBack), at(40, 5, 40, 10).AllocBytesPerSecond)

	for i := range distrusted - 1 {
		assert.Equal(t, unavailable(wentBack), at(50+i, 1000*float64(i+1), 40, 10).AllocBytesPerSecond, "once wrong, it is not believed at once")
	}

	assert.Equal(t, resources.ProvenanceMeasured, at(100, 1e6, 40, 10).AllocBytesPerSecond.Provenance)

	lost := p.add(110*time.Second, gometrics.Unavailable("lost"))
	assert.Equal(t, unavailable("lost"), lost.AllocBytesPerSecond)
	assert.Equal(t, resources.Warming(), at(120, 2e6, 40, 10).AllocBytesPerSecond)
}

// TestHostileMetricsDelayNothing samples what a hostile program says, as a tick does, and waits until it is unavailable.
func TestHostileMetricsDelayNothing(t *testing.T) {
	for _, mode := range hostile.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()

			server := httptest.NewServer(hostile.Handler(mode))
			t.Cleanup(server.Close)

			_, text, err := net.SplitHostPort(server.Listener.Addr().String())
			require.NoError(t, err)

			port, err := strconv.ParseUint(text, 10, 16)
			require.NoError(t, err)

			s := startScraper((&net.Dialer{}).DialContext, config.Metrics{
				Port: config.Port{Number: uint16(port)}, Path: "/metrics", Interval: config.Duration{Duration: 100 * time.Millisecond},
			})

			var reading resources.Reading

			assert.Eventually(t, func() bool {
				reading = s.latest().AllocBytesPerSecond

				return reading.Provenance == resources.ProvenanceUnavailable && reading.Reason != "not asked yet"
			}, gometrics.Timeout+time.Minute, 10*time.Millisecond)

			t.Log(reading.Reason)
			s.stop()
		})
	}
}

func TestBesideWaitsForNothing(t *testing.T) {
	answer := make(chan error)
	b := &beside[int]{interval: time.Minute, read: func() (int, error) { return 5, <-answer }}

	_, err := b.latest(time.Second)
	assert.ErrorIs(t, err, errNotYet)

	answer <- nil

	assert.EventuallyWithT(t, func(t *assert.CollectT) {
		value, err := b.latest(2 * time.Second)
		assert.NoError(t, err)
		assert.Equal(t, 5, value)
	}, time.Minute, time.Millisecond)

	// The next one is due, and hangs: for a while the last value is good, then it is not.
	value, err := b.latest(time.Second + time.Minute)
	assert.NoError(t, err)
	assert.Equal(t, 5, value)

	_, err = b.latest(time.Second + time.Minute + overdue + time.Second)
	assert.ErrorContains(t, err, "reading it has taken 31s by now")

	answer <- errors.New("broken")

	assert.Eventually(t, func() bool {
		_, err := b.latest(time.Second + time.Minute + overdue)

		return err != nil && err.Error() == "broken"
	}, time.Minute, time.Millisecond)
}

// stream is an event source by hand.
type stream struct {
	events chan eventPod
}

func (s stream) Watch(ctx context.Context, changed func(string, map[string]string)) error {
	changed("", nil)

	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, ok := <-s.events:
			if !ok {
				<-ctx.Done()

				return ctx.Err()
			}

			changed(event.namespace, event.labels)
		}
	}
}

func TestWatchWakesForSelectedPodsAlone(t *testing.T) {
	var w watch

	source, woken := stream{events: make(chan eventPod)}, make(chan bool, 100)
	selector := discover.Selector{PodLabels: map[string]string{"app": "spegel"}}

	go w.run(t.Context(), source, func() { woken <- true })

	<-woken
	assert.True(t, w.up.Load())
	assert.True(t, w.take(selector), "what happened before the stream is unknown")
	assert.False(t, w.take(selector))

	source.events <- eventPod{namespace: "a", labels: map[string]string{"app": "other"}}
	<-woken
	assert.False(t, w.take(selector))

	source.events <- eventPod{namespace: "a", labels: map[string]string{"app": "spegel"}}
	<-woken
	assert.True(t, w.take(selector))
}
