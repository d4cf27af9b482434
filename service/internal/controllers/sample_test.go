// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
)

// broken is a target of which nothing can be opened.
func broken(resources.TargetSpec) observe.Source {
	return observe.Source{
		Cgroup:    func() (observe.CgroupReader, error) { return nil, errors.New("no cgroup") },
		Namespace: func() (observe.Namespace, error) { return nil, errors.New("no namespace") },
	}
}

func TestSampleController_FollowsTargets(t *testing.T) {
	feed, duration := observe.NewFeed(), prometheus.NewHistogram(prometheus.HistogramOpts{Name: "d"})
	s := newSuite(t, newState(t), &SampleController{Source: broken, Feed: feed, Duration: duration})
	s.configure("interval: 100ms\ntarget: {metrics: {port: 0}}\n")

	target := func(container string, inode uint64) {
		put(s, resources.NewTarget(targetID), func(spec *resources.TargetSpec) { spec.ContainerID, spec.CgroupInode = container, inode })
	}
	sample := func(container string) resources.TargetStatsSpec {
		return await(s, resources.NewTargetStats(targetID), func(spec resources.TargetStatsSpec) bool { return spec.ContainerID == container })
	}

	target("c1", 1)
	assert.Equal(t, resources.Unavailable("no cgroup"), sample("c1").CPU)
	assert.Equal(t, resources.Unavailable("no namespace"), sample("c1").TXBytesPerSecond)
	assert.Contains(t, await(s, resources.NewCondition(resources.ConditionSampling), func(c resources.ConditionSpec) bool {
		return c.Reason == resources.ReasonSamplingError
	}).Message, targetID)

	<-feed.News()

	latest := map[string]*resources.TargetStatsSpec{}
	feed.Update(latest)
	assert.Contains(t, latest, targetID)

	target("c2", 2)
	sample("c2")

	// The pod uses the node's network: that is no error.
	put(s, resources.NewTarget(targetID), func(spec *resources.TargetSpec) { spec.ContainerID, spec.HostNetwork = "c3", true })
	await(s, resources.NewCondition(resources.ConditionSampling), func(c resources.ConditionSpec) bool { return c.OK })

	s.remove(resources.NewTarget(targetID))
	s.gone(resources.NewTargetStats(targetID))
	require.Eventually(t, func() bool {
		feed.Update(latest)

		return len(latest) == 0
	}, patience, time.Millisecond)
}
