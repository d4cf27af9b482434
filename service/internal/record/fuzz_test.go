// SPDX-License-Identifier: MPL-2.0

package record

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzRestoreHistory: whatever two entries hold that pass the check, the history that is restored is ordered, within its bounds, and
// reads the same after it was saved again. FuzzLoad of persist fuzzes the lines around them.
func FuzzRestoreHistory(f *testing.F) {
	const now = 4 * time.Hour

	saved := func(minutes ...minute) []byte {
		data, err := binary.Append(nil, binary.LittleEndian, minutes)
		require.NoError(f, err)

		return data
	}

	hour := minute{At: int64(time.Hour), Over: 60, CPU: 0.5, RX: float32(math.NaN())}

	f.Add("a/b/c", saved(hour), "", saved(hour))
	f.Add("a/b/c", saved(hour, minute{At: int64(30 * time.Second), Over: 30}), "a/b/c", saved(minute{At: int64(time.Hour) + 1, Over: 90}))
	f.Add("", []byte{1}, "x", saved(minute{At: math.MaxInt64, Over: 60}))
	f.Add("tiny", saved(minute{At: int64(time.Hour), Over: 1e-20}), "huge", saved(minute{At: int64(time.Hour), Over: 60, TX: math.MaxFloat32}))
	f.Fuzz(func(t *testing.T, target string, minutes []byte, another string, others []byte) {
		blocks := map[string]HistoryBlock{}

		for name, block := range map[string]HistoryBlock{"1": {Target: target, Minutes: minutes}, "2": {Target: another, Minutes: others}} {
			if block.Check(now) == nil {
				blocks[name] = block
			}
		}

		var history, again History

		history.restore(blocks, now)

		saved, err := history.blocks(now)
		require.NoError(t, err)

		for _, block := range saved {
			require.NoError(t, block.Check(now), "what was loaded is saved as it must be")
		}

		again.restore(saved, now)
		assert.Equal(t, history.Targets(), again.Targets())

		for id, s := range history.series {
			last := time.Duration(0)

			// NaN is not equal to NaN.
			assert.Equal(t, fmt.Sprint(s.minutes), fmt.Sprint(again.series[id].minutes))

			for _, p := range s.coarse() {
				require.Greater(t, p.At, last)
				require.LessOrEqual(t, p.At, now)
				require.Positive(t, p.Over)
				require.GreaterOrEqual(t, p.At-p.Over, last-time.Second)

				last = p.At
			}
		}
	})
}
