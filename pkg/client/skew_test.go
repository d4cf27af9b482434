// SPDX-License-Identifier: MPL-2.0

package client_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/client"
)

func TestWithinSkew(t *testing.T) {
	for _, test := range []struct {
		client, guard string
		want          bool
	}{
		{"v0.1.0", "v0.1.0", true},
		{"v0.1.0", "v0.1.9", true},
		{"v0.3.0", "v0.1.0", true},
		{"v0.1.0", "v0.3.5", true},
		{"v0.4.0", "v0.1.9", false},
		{"v0.1.0", "v0.4.0", false},
		{"v1.0.0", "v0.9.0", false},
		{"v1.0.0", "v2.0.0", false},
		{"v1.3.0-rc.1", "v1.1.0", true},
		{"dev", "dev", true},
		{"dev", "v0.1.0", false},
		{"v0.1.0", "", false},
	} {
		t.Run(test.client+" and "+test.guard, func(t *testing.T) {
			assert.Equal(t, test.want, client.WithinSkew(test.client, test.guard))
		})
	}
}
