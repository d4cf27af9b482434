// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestShare(t *testing.T) {
	var tests []test

	for name := range longTests {
		tests = append(tests, test{"e2e.test", name})
	}

	for i := range 40 {
		tests = append(tests, test{fmt.Sprintf("%d.test", i%2), fmt.Sprint("TestUsual", i)})
	}

	for _, machines := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(machines), func(t *testing.T) {
			shares := share(tests, machines)

			var (
				all   []test
				taken []time.Duration
			)

			for _, tests := range shares {
				all = append(all, tests...)

				var sum time.Duration
				for _, one := range tests {
					sum += one.takes()
				}

				taken = append(taken, sum)
			}

			assert.ElementsMatch(t, tests, all, "each test runs once")

			for _, sum := range taken {
				assert.InDelta(t, taken[0], sum, float64(usualTest))
			}
		})
	}
}

func TestSelections(t *testing.T) {
	selected := selections([]test{{"a.test", "TestA"}, {"a.test", "TestAB"}, {"b.test", "TestB"}})
	require.Len(t, selected, 2)
	assert.Equal(t, "a.test", selected[0].binary)

	match := regexp.MustCompile(selected[0].pattern)
	assert.True(t, match.MatchString("TestA"))
	assert.True(t, match.MatchString("TestAB"))
	assert.False(t, match.MatchString("TestABC"))
	assert.False(t, match.MatchString("TestB"))
}
