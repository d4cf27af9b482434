// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Version selects the metrics of a version of spegel.
type Version string

// Versions with different metrics: up to v0.5, v0.6 and v0.7, and the newest main, which sets none of the advertised ones.
const (
	V05  Version = "v0.5"
	V06  Version = "v0.6"
	Main Version = "main"
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Version) UnmarshalText(text []byte) error {
	switch version := Version(text); version {
	case V05, V06, Main:
		*v = version

		return nil
	default:
		return fmt.Errorf("invalid version %q: must be v0.5, v0.6 or main", text)
	}
}

// MarshalText implements encoding.TextMarshaler.
func (v Version) MarshalText() ([]byte, error) { return []byte(v), nil }

// blobsPerImage is the number of blobs of an image. One of ten images has no tag.
const blobsPerImage = 10

// advertised has the gauges of what spegel advertises, by the names of a version (pkg/metrics/metrics.go of spegel).
type advertised struct {
	version Version
	blobs   func() int
}

// Describe implements prometheus.Collector. The names depend on the version: they are not checked.
func (advertised) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (a advertised) Collect(out chan<- prometheus.Metric) {
	blobs := a.blobs()
	images := blobs / blobsPerImage
	untagged := images / 10
	tags := images - untagged

	values := map[Version]map[string]int{
		V05: {"images": images, "keys": tags + blobs, "image_tags": tags, "image_digests": untagged},
		V06: {"image_tags": tags, "image_digests": images, "content_digests": blobs},
	}

	for name, value := range values[a.version] {
		desc := prometheus.NewDesc("spegel_advertised_"+name, "Number of "+name+" advertised to be available.", nil, prometheus.Labels{"registry": "docker.io"})
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value))
	}
}

// metrics returns the handler of /metrics: those of Go's runtime, and those of spegel for a number of blobs.
func metrics(version Version, blobs func() int) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), advertised{version: version, blobs: blobs},
	)

	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// blobsOf returns the number of blobs that an advertiser advertises now.
func blobsOf(a *Advertiser) func() int {
	return func() int {
		a.mu.Lock()
		defer a.mu.Unlock()

		return a.load.Blobs
	}
}
