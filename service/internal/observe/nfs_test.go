// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/nodestat"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

func TestNFSRates_KeepValuesBesideUnreadableMounts(t *testing.T) {
	var (
		rates nfsRates
		bad   = errors.New("nas:/b on /b is strange")
		one   = []string{"0:40"}
	)

	read := func(at time.Duration, nfs nodestat.NFS, err error) resources.Reading {
		var stats resources.NodeStatsSpec

		rates.sample(&stats, timed[nodestat.NFS]{value: nfs, at: at}, err)

		return stats.NFSReadBytesPerSecond
	}

	incomplete := resources.Measured(100)
	incomplete.Reason = "incomplete: nas:/b on /b is strange"

	assert.Equal(t, resources.Unavailable("no NFS is mounted"), read(1*time.Second, nodestat.NFS{}, nil))
	assert.Equal(t, resources.Unavailable(bad.Error()), read(2*time.Second, nodestat.NFS{Incomplete: bad}, nil))
	assert.Equal(t, resources.Unavailable(bad.Error()), read(3*time.Second, nodestat.NFS{}, bad))
	assert.Equal(t, resources.Warming(), read(4*time.Second, nodestat.NFS{FileSystems: one, ReadBytes: 1000, Incomplete: bad}, nil))
	assert.Equal(t, incomplete, read(5*time.Second, nodestat.NFS{FileSystems: one, ReadBytes: 1100, Incomplete: bad}, nil))
	assert.Equal(t, resources.Measured(50), read(6*time.Second, nodestat.NFS{FileSystems: one, ReadBytes: 1150}, nil))

	// As many file systems, but others: the difference of their counters is no rate.
	assert.Equal(t, resources.Warming(), read(7*time.Second, nodestat.NFS{FileSystems: []string{"0:41"}, ReadBytes: 1 << 40}, nil))
}
