// SPDX-License-Identifier: MPL-2.0

//go:build linux

package doctor

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestCompareReaders(t *testing.T) {
	for _, row := range []struct {
		name  string
		usage uint64
		err   error
		state string
	}{
		{"in between", 105, nil, resources.CheckOK},
		{"equal to the first", 100, nil, resources.CheckOK},
		{"before", 99, nil, resources.CheckFailed},
		{"after", 111, nil, resources.CheckFailed},
		{"cgroup is gone", 105, errors.New("gone"), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			own := uint64(90)

			check, ok := compareReaders("a", func() (cgroup.CPUStat, error) {
				own += 10

				return cgroup.CPUStat{UsageUsec: own}, nil
			}, func() (uint64, error) { return row.usage, row.err })

			assert.Equal(t, row.state != "", ok)
			assert.Equal(t, row.state, check.State)
			assert.Equal(t, row.state == resources.CheckFailed, check.Fix != "")
		})
	}
}
