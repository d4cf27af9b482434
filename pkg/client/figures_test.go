// SPDX-License-Identifier: MPL-2.0

package client

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

func TestTargetFigures(t *testing.T) {
	point := func(cpu float64, allocation *float64) *guardv1alpha1.Point {
		return &guardv1alpha1.Point{Over: durationpb.New(10 * time.Second), CpuCores: &cpu, AllocBytesPerSecond: allocation}
	}

	for name, test := range map[string]struct {
		points []*guardv1alpha1.Point
		live   resources.Reading
		want   map[compare.Metric]float64
	}{
		"scraped each ten seconds": {
			[]*guardv1alpha1.Point{point(1, proto.Float64(100)), point(3, proto.Float64(300)), point(5, nil)},
			resources.Measured(900), map[compare.Metric]float64{compare.CPU: 3, compare.Alloc: 200},
		},
		"scraped each minute": {
			[]*guardv1alpha1.Point{point(1, nil), point(3, nil)},
			resources.Measured(900), map[compare.Metric]float64{compare.CPU: 2, compare.Alloc: 900},
		},
		"not scraped": {
			[]*guardv1alpha1.Point{point(1, nil)}, resources.Unavailable("connection refused"), map[compare.Metric]float64{compare.CPU: 1},
		},
		"just found": {nil, resources.Measured(900), map[compare.Metric]float64{}},
	} {
		t.Run(name, func(t *testing.T) {
			figures := map[compare.Metric]float64{}
			targetFigures(figures, test.points, test.live)
			assert.Equal(t, test.want, figures)
		})
	}
}

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
