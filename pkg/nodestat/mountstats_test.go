// SPDX-License-Identifier: MPL-2.0

//go:build linux

package nodestat

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/internal/mounts"
)

const goodMount = "device nas:/good mounted on /good with fstype nfs statvers=1.1\n\tbytes:\t1 2 3 4 5 6 7 8\n\tper-op statistics\n\t  READ: 1 1 0 1 1 5 9 9 0\n\n"

// FuzzParseMountStats: whatever stands before a mount, or in the text of its server, takes nothing from it.
func FuzzParseMountStats(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "device  mounted on /empty with fstype tmpfs\n", "no device mounted on /x with fstype y\n", goodMount, "\tcaps:", "\timpl_id:\tname='\n",
		"device a mounted on /a with fstype nfs4 statvers=1.1\n\timpl_id:\tname='\n\n\tbytes:\tx\n\tcaps:\n\tper-op statistics\n\t\n",
	} {
		f.Add(seed)
	}

	f.Fuzz(func(t *testing.T, text string) {
		var skipped mounts.Skipped

		parseMountStats(strings.NewReader(text), &skipped)

		if err := skipped.Err(); err != nil {
			assert.NotContains(t, err.Error(), "\n")
			assert.Less(t, len(err.Error()), 4096)
		}

		// The end of a server's text, as the kernel writes it.
		skipped = mounts.Skipped{}
		found := parseMountStats(strings.NewReader(text+"\n\tcaps:\t\n"+goodMount), &skipped)

		// A mount that appears twice is forged, and nobody knows which one.
		if strings.Contains(text, " mounted on /good ") {
			return
		}

		require.NotEmpty(t, found)
		last := found[len(found)-1]
		assert.Equal(t, []any{"/good", uint64(5), uint64(6), uint64(1), uint64(9)}, []any{
			last.point, last.readBytes, last.writeBytes, last.operations, last.roundTripMilliseconds,
		})

		// The same as a server's text.
		if !strings.Contains(text, "caps:") {
			skipped = mounts.Skipped{}
			found = parseMountStats(strings.NewReader(strings.Replace(
				goodMount, "\tbytes:", "\timpl_id:\tname='"+text+"',domain=''\n\tcaps:\t\n\tbytes:", 1)), &skipped)

			require.NoError(t, skipped.Err())
			require.Len(t, found, 1)
			assert.Equal(t, last, found[0])
		}
	})
}
