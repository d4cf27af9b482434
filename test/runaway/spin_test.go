// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newWorkload runs an advertiser on the loopback until the test ends.
func newWorkload(t *testing.T) *Advertiser {
	t.Helper()

	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)

	load := DefaultLoad()
	load.Mode = ModeIdle

	ctx, stop := context.WithCancel(context.Background())
	workload := NewAdvertiser(conn, load)

	var group sync.WaitGroup

	group.Go(func() { workload.Run(ctx) })
	group.Go(workload.Drain)

	t.Cleanup(func() {
		stop()
		conn.Close()
		group.Wait()
	})

	return workload
}

func steer(t *testing.T, a *Advertiser, load string) {
	t.Helper()

	recorder := httptest.NewRecorder()
	a.handleSteer(recorder, httptest.NewRequestWithContext(t.Context(), "POST", "/steer", strings.NewReader(load)))
	require.Equal(t, 200, recorder.Code, recorder.Body)
}

// await waits until a counter has grown by more than a number.
func await(t *testing.T, counter func() uint64, more uint64) {
	t.Helper()

	before := counter()

	require.Eventually(t, func() bool { return counter() > before+more }, time.Minute, time.Millisecond)
}

// TestSpin_OutlastsItsLoad: no later load ends a spin, and peers work in proportion as long as it goes on.
func TestSpin_OutlastsItsLoad(t *testing.T) {
	culprit, first, second := newWorkload(t), newWorkload(t), newWorkload(t)
	peers := `"peers": ["` + first.conn.LocalAddr().String() + `", "` + second.conn.LocalAddr().String() + `"]`

	steer(t, culprit, `{"mode": "spinning", `+peers+`}`)
	await(t, culprit.keys.Load, 50)

	for _, mode := range []string{"idle", "healthy", "spinning", "idle"} {
		steer(t, culprit, `{"mode": "`+mode+`"}`)
		await(t, culprit.keys.Load, 20)
		await(t, first.txBytes.Load, 1000)
	}

	assert.Zero(t, culprit.sweeps.Load(), "it advertises nothing")
	assert.Zero(t, first.keys.Load(), "a peer does not spin itself")
}

// TestLookup_PeersAnswerInProportion: the bytes of a lookup do not depend on the number of peers, and each peer sends its share.
func TestLookup_PeersAnswerInProportion(t *testing.T) {
	const lookups = 20

	first, second := newWorkload(t), newWorkload(t)

	for name, peers := range map[string][]*Advertiser{"one peer": {first}, "two peers": {first, second}} {
		t.Run(name, func(t *testing.T) {
			// Its lookups are those of the test only.
			culprit := newWorkload(t)
			load := DefaultLoad()
			load.Mode = ModeIdle

			addresses, before := make([]net.Addr, 0, len(peers)), make([]uint64, 0, len(peers))

			for _, peer := range peers {
				addresses, before = append(addresses, peer.conn.LocalAddr()), append(before, peer.txBytes.Load())
			}

			culprit.begin(load, addresses)

			for range lookups {
				culprit.lookup()
			}

			assert.Equal(t, uint64(lookups*load.Payload), culprit.txBytes.Load())

			for i, peer := range peers {
				share := func() float64 { return float64(peer.txBytes.Load()-before[i]) / float64(culprit.txBytes.Load()) }

				require.Eventually(t, func() bool { return share() >= peerShare }, time.Minute, time.Millisecond)
				assert.InDelta(t, peerShare, share(), 1e-9)
			}
		})
	}
}

// TestSustained_CostsPeersNothing: a peer does no work for an advertisement, whose answers other tests do not expect.
func TestSustained_CostsPeersNothing(t *testing.T) {
	culprit, peer := newWorkload(t), newWorkload(t)

	steer(t, culprit, `{"mode": "sustained", "peers": ["`+peer.conn.LocalAddr().String()+`"]}`)
	await(t, culprit.sweeps.Load, 1)
	steer(t, culprit, `{"mode": "idle"}`)

	assert.Zero(t, peer.txBytes.Load())
}
