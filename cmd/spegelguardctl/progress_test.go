// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/test/pki"
)

func TestProgress_ShowsLineAndClearsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &buffer{}
		p := newProgress(out, 10_000)
		fail := false
		request := counted(p, func(*client.Node, context.Context) (int, error) {
			if fail {
				return 0, errors.New("no")
			}

			return 1, nil
		})

		for range 3108 {
			_, err := request(nil, t.Context())
			require.NoError(t, err)
		}

		time.Sleep(progressAfter - time.Millisecond)
		assert.Empty(t, out.String(), "a command that is fast shows none")

		fail = true

		for range 12 {
			_, err := request(nil, t.Context())
			require.Error(t, err)
		}

		time.Sleep(2 * time.Millisecond)
		assert.Equal(t, clearLine+"3,120 of 10,000 nodes, 12 failed", out.String())

		require.NoError(t, p.over(func() error {
			_, err := out.Write([]byte("row\n"))

			return err
		}))
		p.end()
		assert.Equal(t, clearLine+"3,120 of 10,000 nodes, 12 failed"+clearLine+"row\n", out.String())
	})
}

// TestProgress_OnlyOnTerminal: a file or a pipe gets none.
func TestProgress_OnlyOnTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file, err := os.CreateTemp(t.TempDir(), "")
		require.NoError(t, err)

		defer file.Close()

		p := (&app{stderr: file}).progress(10)

		time.Sleep(time.Minute)
		p.end()

		info, err := file.Stat()
		require.NoError(t, err)
		assert.Zero(t, info.Size())
	})
}

// TestBatches_KeepsTheOrderOfNodes: responses come without a pause, those of one node late.
func TestBatches_KeepsTheOrderOfNodes(t *testing.T) {
	const every = 100 * time.Millisecond

	for _, test := range []struct {
		name string
		pace pace
		// order in which the nodes respond; -1 is a pause.
		order []int
		want  [][]int
	}{
		{"all at once", usualPace, []int{2, 0, 1}, [][]int{{0, 1, 2}}},
		{"a pause", usualPace, []int{2, 0, -1, 1}, [][]int{{0, 2}, {1}}},
		{
			"no pause, a neighbour is late", usualPace, []int{0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 8, 11},
			[][]int{{0, 1, 2, 3, 4, 5, 6, 7}, {8, 9, 10, 11}},
		},
		{
			"no pause, one is very late", usualPace,
			[]int{0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 1},
			[][]int{{0}, {2, 3, 4, 5, 6, 7, 8, 9, 10}, {1, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}},
		},
		{"without a maximum", pace{quiet: usualPace.quiet}, []int{11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, [][]int{{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes := make([]*client.Node, 24)
				for i := range nodes {
					nodes[i] = &client.Node{}
				}

				results := func(yield func(client.Result[int]) bool) {
					for _, i := range test.order {
						time.Sleep(every)

						if i < 0 {
							time.Sleep(2 * usualPace.quiet)
						} else if !yield(client.Result[int]{Node: nodes[i], Value: i}) {
							return
						}
					}
				}

				var got [][]int

				for batch := range batches(results, nodes, test.pace) {
					var values []int

					for _, result := range batch {
						values = append(values, result.Value)
					}

					got = append(got, values)
				}

				assert.Equal(t, test.want, got)
			})
		})
	}
}

func TestWatch_RefusesTooManyNodes(t *testing.T) {
	authority, err := pki.New()
	require.NoError(t, err)

	c := &cluster{pki: authority}

	var names []string

	for i := range maxFollowed + 1 {
		names = append(names, fmt.Sprintf("node-%d", i))
	}

	c.talosconfig = c.config(t, names, role.Reader)

	for _, args := range [][]string{{"status", "--watch"}, {"events", "--follow"}, {"explain", "--watch"}, {"config", "--watch"}} {
		t.Run(args[0], func(t *testing.T) {
			got := c.run(args...)
			assert.Equal(t, 1, got.code)
			assert.Contains(t, got.stderr, "too many nodes to follow (2001): at most 2000")
		})
	}
}
