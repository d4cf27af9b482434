// SPDX-License-Identifier: MPL-2.0

package client_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

// manyNodes returns a fleet of which no node exists.
//
// With thousands of goroutines the race detector itself can fail (ThreadSanitizer: CHECK failed: tsan_rtl.cpp:346), so make test-unit runs
// these tests without it, too.
func manyNodes(t *testing.T, count int, timeout time.Duration) *client.Fleet {
	t.Helper()

	if raceDetector && count > 256 {
		t.Skip("too many goroutines for the race detector")
	}

	authority, err := pki.New()
	require.NoError(t, err)

	pair, err := authority.Client("anna", time.Hour, role.Reader)
	require.NoError(t, err)

	current := pki.Context(pair, "", authority)

	for i := range count {
		current.Nodes = append(current.Nodes, fmt.Sprintf("node-%d", i))
	}

	fleet, err := client.OpenContext(current, client.Options{Timeout: timeout})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, fleet.Close()) })

	return fleet
}

func TestAsk_BoundsNodesAskedAtOnce(t *testing.T) {
	for _, test := range []struct {
		name        string
		count, dead int
		answer      time.Duration
		most        int64
		// alive and all are when the last node has responded, and when the last dead node has failed.
		alive, all time.Duration
	}{
		{"few", 100, 0, 100 * time.Millisecond, 100, 100 * time.Millisecond, 100 * time.Millisecond},
		{"many", 10_000, 0, 100 * time.Millisecond, 256, 4 * time.Second, 4 * time.Second},
		// The dead delay the others by three seconds: 256, 224 and 20 of them have their turn for one second each. The others are asked
		// 193 at the same time.
		{"one in twenty is dead", 10_000, 500, 100 * time.Millisecond, 256 + 500, 8 * time.Second, 13 * time.Second},
		// 256 in the first second, an eighth less in each that follows, until the first fail.
		{"all are dead", 3000, 3000, 0, 2048, 0, 32 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const timeout = 10 * time.Second

				fleet := manyNodes(t, test.count, timeout)
				dead := map[*client.Node]bool{}

				for _, node := range fleet.Nodes()[:test.dead] {
					dead[node] = true
				}

				var (
					now, most  atomic.Int64
					mu         sync.Mutex
					start      = time.Now()
					alive, all time.Duration
				)

				for result := range client.Ask(t.Context(), fleet, func(n *client.Node, ctx context.Context) (string, error) {
					defer now.Add(-1)

					mu.Lock()
					most.Store(max(most.Load(), now.Add(1)))
					mu.Unlock()

					until, _ := ctx.Deadline()
					assert.Equal(t, timeout, time.Until(until), "the timeout begins with the turn")

					if dead[n] {
						<-ctx.Done()

						return "", ctx.Err()
					}

					time.Sleep(test.answer)

					return n.Name, nil
				}) {
					all = time.Since(start)

					if assert.Equal(t, dead[result.Node], result.Err != nil); result.Err == nil {
						alive = all
					}
				}

				assert.LessOrEqual(t, most.Load(), test.most)
				assert.LessOrEqual(t, alive, test.alive)
				assert.LessOrEqual(t, all, test.all)
			})
		})
	}
}

func TestAsk_CancelledBeforeTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet := manyNodes(t, 1000, time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)

		defer cancel()

		asked, failed := atomic.Int64{}, 0

		for result := range client.Ask(ctx, fleet, func(_ *client.Node, ctx context.Context) (string, error) {
			asked.Add(1)
			<-ctx.Done()

			return "", ctx.Err()
		}) {
			require.Error(t, result.Err)

			failed++
		}

		assert.Equal(t, 1000, failed)
		assert.EqualValues(t, 256, asked.Load())
	})
}

// TestGather_WaitsForEveryTurn: nodes that have not been asked yet are no stragglers.
func TestGather_WaitsForEveryTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet := manyNodes(t, 1000, time.Minute)
		nodes := fleet.Nodes()
		late := map[*client.Node]bool{}

		for _, node := range nodes[700:] {
			late[node] = true
		}

		for _, result := range client.Gather(t.Context(), fleet, func(n *client.Node, _ context.Context) (string, error) {
			if late[n] {
				time.Sleep(900 * time.Millisecond)
			}

			return n.Name, nil
		}) {
			assert.NoError(t, result.Err)
		}
	})
}
