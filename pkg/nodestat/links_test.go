// SPDX-License-Identifier: MPL-2.0

//go:build linux

package nodestat

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
)

func TestListLinks_RepeatsInterruptedDumps(t *testing.T) {
	for name, test := range map[string]struct {
		interrupted, dumps int
		want               error
	}{
		"none":          {0, 1, nil},
		"three":         {3, 4, nil},
		"every dump":    {100, maxDumps, netlink.ErrDumpInterrupted},
		"all but one":   {maxDumps - 1, maxDumps, nil},
		"another error": {0, 1, assert.AnError},
	} {
		t.Run(name, func(t *testing.T) {
			dumps := 0

			links, err := listLinks(func() ([]netlink.Link, error) {
				if dumps++; dumps <= test.interrupted {
					return nil, netlink.ErrDumpInterrupted
				}

				if test.interrupted == 0 && test.want != nil {
					return nil, test.want
				}

				return []netlink.Link{&netlink.Dummy{}}, nil
			})

			require.ErrorIs(t, err, test.want)
			assert.Equal(t, test.dumps, dumps)
			assert.Equal(t, test.want == nil, len(links) == 1)
		})
	}
}
