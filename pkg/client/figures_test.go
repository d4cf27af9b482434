// SPDX-License-Identifier: MPL-2.0

package client

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestAdvertisedKeys(t *testing.T) {
	none := resources.Unavailable("the target exports none")
	one := resources.Measured

	for name, test := range map[string]struct {
		tags, keys, content resources.Reading
		want                resources.Reading
	}{
		"v0.3":                     {one(38), one(1053), none, one(1053)},
		"v0.6":                     {one(38), none, one(1053), resources.Derived(1091)},
		"main":                     {none, none, none, none},
		"digests without the tags": {none, none, one(1053), none},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, advertisedKeys(&resources.ApplicationStats{
				AdvertisedTags: test.tags, AdvertisedKeys: test.keys, AdvertisedContentDigests: test.content,
			}))
		})
	}
}
