// SPDX-License-Identifier: MPL-2.0

package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/gometrics"
)

// TestMetrics_OfEachVersion: the guard reads the workload's metrics as those of spegel.
func TestMetrics_OfEachVersion(t *testing.T) {
	value := func(number float64) gometrics.Value { return gometrics.Value{Number: number} }

	for version, want := range map[Version]gometrics.Metrics{
		V05:  {AdvertisedImages: value(80), AdvertisedTags: value(72), AdvertisedDigests: value(8), AdvertisedKeys: value(872)},
		V06:  {AdvertisedTags: value(72), AdvertisedDigests: value(80), AdvertisedContentDigests: value(800)},
		Main: {},
	} {
		t.Run(string(version), func(t *testing.T) {
			answer := httptest.NewRecorder()
			metrics(version, func() int { return 800 }).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))

			got, err := gometrics.Parse(answer.Body)
			require.NoError(t, err)
			assert.Positive(t, got.AllocBytes.Number)

			number := func(m gometrics.Metrics) []float64 {
				return []float64{
					m.AdvertisedImages.Number, m.AdvertisedTags.Number, m.AdvertisedDigests.Number, m.AdvertisedKeys.Number, m.AdvertisedContentDigests.Number,
				}
			}

			assert.Equal(t, number(want), number(got))
			assert.Equal(t, version == Main, got.AdvertisedTags.Unavailable != "")
			assert.Equal(t, version != V05, got.AdvertisedKeys.Unavailable != "")
			assert.Equal(t, version != V06, got.AdvertisedContentDigests.Unavailable != "")
		})
	}
}
