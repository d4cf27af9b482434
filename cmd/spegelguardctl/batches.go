// SPDX-License-Identifier: MPL-2.0

package main

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/client"
)

const (
	// quiet is how long no response must come before the batch is printed: most nodes respond together and are printed in
	// order, without waiting for a few that hang.
	quiet = 250 * time.Millisecond
	// longest is how long responses are collected that come without a pause, as those of thousands of nodes do.
	longest = time.Second
)

// batches sorts results that come together by node. Of results that come without a pause those after a node without one are kept
// for the next batch, once: the order is that of the nodes, except for a node that takes longer than the others. A maximum of 0
// waits for a pause.
func batches[T any](results iter.Seq[client.Result[T]], nodes []*client.Node, maximum time.Duration) iter.Seq[[]client.Result[T]] {
	place := map[*client.Node]int{}

	for i, node := range nodes {
		place[node] = i
	}

	placeOf := func(r client.Result[T]) int { return place[r.Node] }

	return func(yield func([]client.Result[T]) bool) {
		arriving := make(chan client.Result[T])
		done := make(chan struct{})

		defer close(done)

		go func() {
			defer close(arriving)

			for result := range results {
				select {
				case arriving <- result:
				case <-done:
					return
				}
			}
		}()

		var kept []client.Result[T]

		arrived := make([]bool, len(nodes))

		for {
			batch, end := nextBatch(arriving, maximum)

			for _, result := range batch {
				arrived[placeOf(result)] = true
			}

			before := len(nodes)

			if end == endOfTime {
				before = slices.Index(append(arrived, false), false)

				if len(kept) > 0 {
					before = max(before, placeOf(kept[len(kept)-1])+1)
				}
			}

			kept = slices.SortedFunc(slices.Values(append(kept, batch...)), func(a, b client.Result[T]) int { return cmp.Compare(placeOf(a), placeOf(b)) })

			ready := slices.IndexFunc(kept, func(r client.Result[T]) bool { return placeOf(r) >= before })
			if ready < 0 {
				ready = len(kept)
			}

			if ready > 0 && !yield(kept[:ready]) || end == endOfResults {
				return
			}

			kept = kept[ready:]
		}
	}
}

// Why a batch ended.
type batchEnd int

const (
	endOfResults batchEnd = iota
	endOfSilence
	endOfTime
)

// nextBatch collects results until none came for a while, or for a maximum of time if it is not 0.
func nextBatch[T any](arriving <-chan T, maximum time.Duration) (batch []T, end batchEnd) {
	var silence, full <-chan time.Time

	for {
		select {
		case result, ok := <-arriving:
			if !ok {
				return batch, endOfResults
			}

			if maximum > 0 && full == nil {
				full = time.After(maximum)
			}

			batch = append(batch, result)
			silence = time.After(quiet)
		case <-silence:
			return batch, endOfSilence
		case <-full:
			return batch, endOfTime
		}
	}
}
