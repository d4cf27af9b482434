// SPDX-License-Identifier: MPL-2.0

package cgroup_test

import (
	"embed"
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
)

// Embedded, because the tests in the VM have no folder.
//
//go:embed testdata
var releases embed.FS

// released returns a journal that a release wrote.
func released(t *testing.T, release string) []byte {
	t.Helper()

	data, err := releases.ReadFile("testdata/" + release + "/journal")
	require.NoError(t, err)

	return data
}

// TestDecodeJournal_ReadsEarlierVersions: the journals of releases are never written again. v0.0 is the format before the
// first release.
func TestDecodeJournal_ReadsEarlierVersions(t *testing.T) {
	for release, want := range map[string]cgroup.Journal{
		"v0.0": {
			Version: 1, Target: "spegel/spegel-x/registry", Rule: "SpegelHighCPU", Reason: "cpu 1803m above 400m for 10m0s",
			OwnerLimit: "max 100000", Applied: "50000 100000", Since: 1, HoldUntil: 2, BootID: "b",
		},
		"v0.1": {
			Version: 2, Target: "spegel/spegel-x7k2p/registry", Rule: "SpegelHighCPU", Reason: "cpu 1803m above 550m for 10m0s",
			OwnerLimit: "200000 100000", OwnerBurstUsec: 20000, Applied: "50001 100000", Previous: "100002 100000",
			Since: 90 * time.Minute, HoldUntil: 2 * time.Hour, BootID: "8f0f1c52-6d5b-4a5e-9e53-0d6a3c1f7b11",
		},
	} {
		t.Run(release, func(t *testing.T) {
			j, err := cgroup.DecodeJournal(released(t, release))
			require.NoError(t, err)
			assert.Equal(t, want, j)

			for _, text := range []string{j.Applied, j.Previous} {
				if text != "" {
					value, err := cgroup.ParseCPUMax(text)
					require.NoError(t, err)
					assert.True(t, j.Ours(value), text)
				}
			}

			owner, err := cgroup.ParseCPUMax(j.OwnerLimit)
			require.NoError(t, err)
			assert.False(t, j.Ours(owner))

			_, err = cgroup.EncodeJournal(j)
			require.NoError(t, err)
		})
	}
}

// TestDecodeJournal_RefusesNewerVersion: the enforcer writes nothing on a cgroup whose journal is refused (TestAdopt,
// TestRestoreAll, TestCeiling), so that the newer version can still restore the limit.
func TestDecodeJournal_RefusesNewerVersion(t *testing.T) {
	for name, body := range map[string]string{
		"same fields":  `{"version":3,"original":"max 100000","applied":"50001 100000"}`,
		"more fields":  `{"version":3,"original":"max 100000","applied":"50001 100000","cpus":"0-3"}`,
		"other types":  `{"version":3,"original":{"quota":"max","period":100000},"applied":50001}`,
		"other limits": `{"version":300,"original":"1 1","applied":""}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cgroup.DecodeJournal(fmt.Appendf(nil, "%08x %s", crc32.ChecksumIEEE([]byte(body)), body))
			require.ErrorIs(t, err, cgroup.ErrBadJournal)
			require.ErrorContains(t, err, "a newer spegel-guard wrote it (version 3")
			require.ErrorContains(t, err, "this guard knows 1..2")
		})
	}

	none := []byte(`{"original":"max 100000","applied":"50001 100000"}`)
	_, err := cgroup.DecodeJournal(fmt.Appendf(nil, "%08x %s", crc32.ChecksumIEEE(none), none))
	require.ErrorContains(t, err, "version 0, this guard knows 1..2")
}
