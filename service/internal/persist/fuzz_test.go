// SPDX-License-Identifier: MPL-2.0

package persist

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// FuzzLoad: what is loaded is within its bounds, and reads the same after it was saved again. The checksum stands in the way of
// nearly all that is made up, so an entry is fuzzed behind a right one, too.
func FuzzLoad(f *testing.F) {
	bounds := policy.Bounds{Now: time.Hour, MaxHold: 24 * time.Hour, MinMillicores: 10, MaxMillicores: 1024_000}
	file := File[Workload]{Path: "state.json", BootID: "this", Check: func(w Workload) error { return w.Check(bounds) }}
	saved := map[string]Workload{
		"a": {SavedState: policy.SavedState{Hold: policy.Hold{Rule: "R", Since: 1, Until: time.Hour, Millicores: 500}, Level: 1}, Yielded: 1},
		"b": {SavedState: policy.SavedState{Released: 1}},
		"c": {SavedState: policy.SavedState{Baselines: []policy.SavedBaseline{{Signal: policy.SignalCPU, Levels: []float64{0.25}}}}},
	}

	data, err := file.encode(saved)
	require.NoError(f, err)
	f.Add(data, true)
	f.Add([]byte(`{"version":2,"bootID":"this","name":"a","value":{"level":-1,"hold":{"rule":"R","since":1,"until":2,"millicores":500}}}`), false)
	f.Add([]byte(`{"version":2,"bootID":"this","name":"a","value":{"baselines":[{"signal":"cpu","hour":0,"levels":[1e300]}]}}`), false)
	f.Add([]byte(`{"version":2,"bootID":"this","name":"a","value":{"level":1,"baselines":[]}}`), false)
	f.Fuzz(func(t *testing.T, data []byte, bare bool) {
		if !bare {
			data = fmt.Appendf(nil, `{"crc32c":%q,"entry":%s}`, checksum(data), data)
		}

		loaded, err := file.decode(data)
		assert.NotNil(t, loaded)

		if len(data) == 0 {
			require.NoError(t, err)
		}

		for _, workload := range loaded {
			require.NoError(t, workload.Check(bounds))
			assert.False(t, workload.IsZero())
		}

		again, err := file.encode(loaded)
		require.NoError(t, err)

		reloaded, err := file.decode(again)
		require.NoError(t, err)
		assert.True(t, maps.EqualFunc(loaded, reloaded, Workload.Equal), "%v, and again %v", loaded, reloaded)
	})
}
