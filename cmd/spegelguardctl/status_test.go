// SPDX-License-Identifier: MPL-2.0

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// TestStatusRows_ShowEachOverride: a pause of the node is in force beside an override of a target.
func TestStatusRows_ShowEachOverride(t *testing.T) {
	a := &app{now: time.Now}
	override := func(kind, subject string) client.Override {
		return client.Override{OverrideSpec: resources.OverrideSpec{Kind: kind, By: resources.Person{Subject: subject}}}
	}

	for name, test := range map[string]struct {
		overrides []client.Override
		want      string
	}{
		"none": {nil, ""},
		"one":  {[]client.Override{override(resources.OverridePause, "CN=anna")}, "pause by CN=anna"},
		"two": {
			[]client.Override{override(resources.OverridePause, "CN=anna"), override(resources.OverrideThrottle, "CN=ben")},
			"pause by CN=anna; throttle by CN=ben",
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, a.statusRows(&client.Status{Overrides: test.overrides})[0].Cells[14])
		})
	}
}
