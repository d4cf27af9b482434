// SPDX-License-Identifier: MPL-2.0

package gometrics_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
)

// TestParse_VersionsOfSpegel reads answers with the names of each version's sources (pkg/metrics/metrics.go). That of v0.7.4
// is of a process that nobody has asked for content yet. The newest main registers the advertised vectors and sets none.
func TestParse_VersionsOfSpegel(t *testing.T) {
	value := func(number float64) gometrics.Value { return gometrics.Value{Number: number} }
	none := func(name string) gometrics.Value {
		return gometrics.Value{Unavailable: "the target exports no " + name}
	}

	// An unasked spegel of the newest main, which the others add to.
	main := gometrics.Metrics{
		AllocBytes: value(4.8e10), HeapBytes: value(1.6e7), GCCycles: value(1234), Goroutines: value(187),
		AdvertisedImages:         none("spegel_advertised_images"),
		AdvertisedTags:           none("spegel_advertised_image_tags"),
		AdvertisedDigests:        none("spegel_advertised_image_digests"),
		AdvertisedKeys:           none("spegel_advertised_keys"),
		AdvertisedContentDigests: none("spegel_advertised_content_digests"),
		MirrorRequests:           none("spegel_mirror_requests_total"),
		MirrorHits:               none("spegel_mirror_requests_total"),
		MirrorLastSuccess:        value(0),
		ResolveSeconds:           none("spegel_resolve_duration_seconds_sum"),
		Resolves:                 none("spegel_resolve_duration_seconds_count"),
	}

	v03 := main
	v03.AdvertisedImages, v03.AdvertisedTags, v03.AdvertisedDigests, v03.AdvertisedKeys = value(42), value(38), value(4), value(1053)
	v03.MirrorRequests, v03.MirrorHits, v03.ResolveSeconds, v03.Resolves = value(100), value(93), value(0.8), value(100)
	v03.MirrorLastSuccess = none("spegel_mirror_last_success_timestamp_seconds")

	v07 := main
	v07.AdvertisedTags, v07.AdvertisedDigests, v07.AdvertisedContentDigests = value(38), value(42), value(1053)

	v06 := v07
	v06.MirrorRequests, v06.MirrorHits, v06.ResolveSeconds, v06.Resolves = value(100), value(93), value(0.8), value(100)
	v06.MirrorLastSuccess = value(1.7871e9)

	for version, want := range map[string]gometrics.Metrics{"v0.3.0": v03, "v0.6.0": v06, "v0.7.4": v07, "main": main} {
		t.Run(version, func(t *testing.T) {
			answer, err := os.ReadFile(filepath.Join("testdata", "spegel-"+version+".txt"))
			require.NoError(t, err)

			metrics, err := gometrics.Parse(bytes.NewReader(answer))
			require.NoError(t, err)
			assert.Equal(t, want, metrics)
		})
	}
}
