// SPDX-License-Identifier: MPL-2.0

package observe_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
)

func told(f *observe.Feed) bool {
	select {
	case <-f.News():
		return true
	default:
		return false
	}
}

func TestTheNewestOfEachIsHandedOnAndToldOnce(t *testing.T) {
	feed := observe.NewFeed()
	seen := map[string]*resources.TargetStatsSpec{}

	feed.Put("a", &resources.TargetStatsSpec{Clock: 1}, observe.Answer{})
	assert.False(t, told(feed), "not before it is said")

	feed.Put("a", &resources.TargetStatsSpec{Clock: 2}, observe.Answer{})
	feed.Put("b", &resources.TargetStatsSpec{Clock: 3}, observe.Answer{})
	feed.Wake()
	feed.Wake()
	assert.True(t, told(feed))
	assert.False(t, told(feed))

	feed.Update(seen)
	assert.Equal(t, map[string]*resources.TargetStatsSpec{"a": {Clock: 2}, "b": {Clock: 3}}, seen)

	feed.Remove("a")
	assert.True(t, told(feed), "a target less is news")

	feed.Update(seen)
	assert.Equal(t, map[string]*resources.TargetStatsSpec{"b": {Clock: 3}}, seen)
}

func TestWhatIsHandedOnIsACopy(t *testing.T) {
	feed := observe.NewFeed()
	sample := resources.TargetStatsSpec{Clock: 1}
	seen := map[string]*resources.TargetStatsSpec{}

	feed.Put("a", &sample, observe.Answer{})
	feed.Update(seen)

	sample.Clock = 2
	assert.EqualValues(t, 1, seen["a"].Clock)

	assert.Zero(t, testing.AllocsPerRun(100, func() {
		feed.Put("a", &sample, observe.Answer{})
		feed.Wake()
		feed.Update(seen)
	}))
}
