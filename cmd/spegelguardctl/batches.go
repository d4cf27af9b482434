// SPDX-License-Identifier: MPL-2.0

package main

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/client"
)

// pace is when responses that came are printed.
type pace struct {
	// quiet is how long no response must come before the batch is printed: most nodes respond together and are printed in order, without
	// waiting for a few that hang.
	quiet time.Duration
	// longest is how long responses are collected that come without a pause, as those of thousands of nodes do; 0 waits for a pause.
	longest time.Duration
}

var usualPace = pace{quiet: 250 * time.Millisecond, longest: time.Second}

// batches sorts results that come together by node. When results come without a pause, those after a node without a result are kept
// for the next batch, once: the order is that of the nodes, except for a node that takes longer than the others.
func batches[T any](results iter.Seq[client.Result[T]], nodes []*client.Node, pace pace) iter.Seq[[]client.Result[T]] {
	place := map[*client.Node]int{}

	for i, node := range nodes {
		place[node] = i
	}

	compare := func(r client.Result[T], at int) int { return cmp.Compare(place[r.Node], at) }

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

		var (
			kept    []client.Result[T]
			arrived = make([]bool, len(nodes))
			// missing is the place of the first node without a result.
			missing int
		)

		for more := true; more; {
			var (
				batch  []client.Result[T]
				paused bool
			)

			batch, paused, more = nextBatch(arriving, pace)

			for _, result := range batch {
				arrived[place[result.Node]] = true
			}

			for missing < len(nodes) && arrived[missing] {
				missing++
			}

			before := missing

			switch {
			case paused:
				before = len(nodes)
			case len(kept) > 0:
				before = max(before, place[kept[len(kept)-1].Node]+1)
			}

			kept = append(kept, batch...)
			slices.SortFunc(kept, func(a, b client.Result[T]) int { return compare(a, place[b.Node]) })

			ready, _ := slices.BinarySearchFunc(kept, before, compare)
			if ready > 0 && !yield(kept[:ready]) {
				return
			}

			kept = kept[ready:]
		}
	}
}

// nextBatch collects results at a pace. paused reports whether none came for a while, and more whether others may follow.
func nextBatch[T any](arriving <-chan T, pace pace) (batch []T, paused, more bool) {
	var silence, full <-chan time.Time

	for {
		select {
		case result, ok := <-arriving:
			if !ok {
				return batch, true, false
			}

			if pace.longest > 0 && full == nil {
				full = time.After(pace.longest)
			}

			batch = append(batch, result)
			silence = time.After(pace.quiet)
		case <-silence:
			return batch, true, true
		case <-full:
			return batch, false, true
		}
	}
}
