// SPDX-License-Identifier: MPL-2.0

package cgroup_test

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
)

func TestJournal(t *testing.T) {
	j := cgroup.Journal{
		Version: cgroup.JournalVersion, Target: "spegel/spegel-x/registry", Rule: "SpegelHighCPU",
		OwnerLimit: "max 100000", Applied: "50000 100000", Since: 1, HoldUntil: 2, BootID: "b",
	}

	data, err := cgroup.EncodeJournal(j)
	require.NoError(t, err)

	again, err := cgroup.DecodeJournal(data)
	require.NoError(t, err)
	assert.Equal(t, j, again)

	for i := range data {
		damaged := append([]byte(nil), data...)
		damaged[i] ^= 1

		_, err := cgroup.DecodeJournal(damaged)
		assert.ErrorIs(t, err, cgroup.ErrBadJournal)
	}
}

// TestJournal_Bounds: values that no guard writes are refused, however right their checksum is.
func TestJournal_Bounds(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*cgroup.Journal)
		want   string
	}{
		"valid":                    {change: func(*cgroup.Journal) {}},
		"shorter period":           {change: func(j *cgroup.Journal) { j.Applied = "10001 20000" }},
		"owner without a limit":    {change: func(j *cgroup.Journal) { j.OwnerLimit = "max 100000" }},
		"owner's limit is invalid": {change: func(j *cgroup.Journal) { j.OwnerLimit = "1 1" }, want: "malformed"},
		"ceiling is invalid":       {change: func(j *cgroup.Journal) { j.Applied = "" }, want: "malformed"},
		"ceiling is no limit":      {change: func(j *cgroup.Journal) { j.Applied = "max 100000" }, want: `ceiling "max 100000" is not below`},
		"ceiling is the limit":     {change: func(j *cgroup.Journal) { j.Applied = j.OwnerLimit }, want: "is not below the owner's limit"},
		"ceiling above the limit":  {change: func(j *cgroup.Journal) { j.Applied = "40001 10000" }, want: "is not below the owner's limit"},
		"earlier ceiling above":    {change: func(j *cgroup.Journal) { j.Previous = "300000 100000" }, want: `ceiling "300000 100000" is not below`},
		"burst":                    {change: func(j *cgroup.Journal) { j.OwnerBurstUsec = 1 << 44 }, want: "more than the kernel takes"},
	} {
		t.Run(name, func(t *testing.T) {
			j := cgroup.Journal{Version: cgroup.JournalVersion, OwnerLimit: "200000 100000", Applied: "50001 100000", OwnerBurstUsec: 1000}
			test.change(&j)

			_, encodeErr := cgroup.EncodeJournal(j)

			body, err := json.Marshal(j)
			require.NoError(t, err)

			_, err = cgroup.DecodeJournal(fmt.Appendf(nil, "%08x %s", crc32.ChecksumIEEE(body), body))

			if test.want == "" {
				require.NoError(t, err)
				require.NoError(t, encodeErr)

				return
			}

			require.ErrorIs(t, err, cgroup.ErrBadJournal)
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, encodeErr, test.want)
		})
	}
}

// FuzzDecodeJournal: the checksum stands in the way of nearly all that is made up, so the body is fuzzed behind a right one, too.
func FuzzDecodeJournal(f *testing.F) {
	f.Add([]byte("00000000 {}"), true)
	f.Add([]byte(`{"version":2,"original":"max 100000","applied":"50001 100000","previous":"40001 100000"}`), false)
	f.Fuzz(func(t *testing.T, data []byte, bare bool) {
		if !bare {
			data = fmt.Appendf(nil, "%08x %s", crc32.ChecksumIEEE(data), data)
		}

		j, err := cgroup.DecodeJournal(data)
		if err != nil {
			assert.ErrorIs(t, err, cgroup.ErrBadJournal)

			return
		}

		for _, text := range []string{j.OwnerLimit, j.Applied} {
			_, err := cgroup.ParseCPUMax(text)
			require.NoError(t, err)
		}

		again, err := cgroup.EncodeJournal(j)
		require.NoError(t, err)

		_, err = cgroup.DecodeJournal(again)
		require.NoError(t, err)
	})
}
