// SPDX-License-Identifier: MPL-2.0

package gometrics

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Value is a number, or the reason there is none.
type Value struct {
	Number      float64
	Unavailable string
}

// Metrics are the values that are read. Counters are cumulative since the process started.
type Metrics struct {
	// AllocBytes counts allocated bytes (go_memstats_alloc_bytes_total), HeapBytes is the heap in use
	// (go_memstats_heap_alloc_bytes).
	AllocBytes, HeapBytes Value
	// GCCycles counts garbage collections (go_gc_duration_seconds_count).
	GCCycles Value
	// Goroutines that exist (go_goroutines).
	Goroutines Value
	// Advertised* is what spegel advertises to its peers, summed over all registries (spegel_advertised_*). Images and
	// keys are those of spegel up to v0.5, content digests those of v0.6 and v0.7; later versions set none of them.
	AdvertisedImages, AdvertisedTags, AdvertisedDigests, AdvertisedKeys, AdvertisedContentDigests Value
	// MirrorRequests counts the requests for content that the node does not have, MirrorHits those that a peer served
	// (spegel_mirror_requests_total).
	MirrorRequests, MirrorHits Value
	// MirrorLastSuccess is when a peer last served one, as Unix time in seconds; 0 for never. Some versions set it for a
	// request that failed, too (spegel_mirror_last_success_timestamp_seconds).
	MirrorLastSuccess Value
	// ResolveSeconds is the time from a lookup to each peer it found, Resolves the number of these peers
	// (spegel_resolve_duration_seconds). A lookup that finds none is not in them.
	ResolveSeconds, Resolves Value
}

// field is a value and the series it is made of.
type field struct {
	name  string
	value func(*Metrics) *Value
	// label that the series must have, as name and value; empty selects all.
	label [2]string
	// labelled: any number of series is summed, none at all included. Otherwise there must be exactly one.
	labelled bool
}

const mirrorRequests = "spegel_mirror_requests_total"

var fields = []field{
	{name: "go_memstats_alloc_bytes_total", value: func(m *Metrics) *Value { return &m.AllocBytes }},
	{name: "go_memstats_heap_alloc_bytes", value: func(m *Metrics) *Value { return &m.HeapBytes }},
	{name: "go_gc_duration_seconds_count", value: func(m *Metrics) *Value { return &m.GCCycles }},
	{name: "go_goroutines", value: func(m *Metrics) *Value { return &m.Goroutines }},
	{name: "spegel_advertised_images", value: func(m *Metrics) *Value { return &m.AdvertisedImages }, labelled: true},
	{name: "spegel_advertised_image_tags", value: func(m *Metrics) *Value { return &m.AdvertisedTags }, labelled: true},
	{name: "spegel_advertised_image_digests", value: func(m *Metrics) *Value { return &m.AdvertisedDigests }, labelled: true},
	{name: "spegel_advertised_keys", value: func(m *Metrics) *Value { return &m.AdvertisedKeys }, labelled: true},
	{name: "spegel_advertised_content_digests", value: func(m *Metrics) *Value { return &m.AdvertisedContentDigests }, labelled: true},
	{name: mirrorRequests, value: func(m *Metrics) *Value { return &m.MirrorRequests }, labelled: true},
	{name: mirrorRequests, value: func(m *Metrics) *Value { return &m.MirrorHits }, labelled: true, label: [2]string{"cache", "hit"}},
	{name: "spegel_mirror_last_success_timestamp_seconds", value: func(m *Metrics) *Value { return &m.MirrorLastSuccess }},
	{name: "spegel_resolve_duration_seconds_sum", value: func(m *Metrics) *Value { return &m.ResolveSeconds }, labelled: true},
	{name: "spegel_resolve_duration_seconds_count", value: func(m *Metrics) *Value { return &m.Resolves }, labelled: true},
}

// maxValue is the largest value of a series that is taken for a number. An exabyte is more than any of them reaches.
const maxValue = 1e18

// Unavailable returns metrics without a value, all for one reason.
func Unavailable(reason string) Metrics {
	var m Metrics

	for _, f := range fields {
		*f.value(&m) = Value{Unavailable: reason}
	}

	return m
}

// Parse reads the values from a body in Prometheus' text format. It drops other series while it reads, so that memory does
// not depend on the size of the body.
func Parse(body io.Reader) (Metrics, error) {
	selected, lines, err := filter(io.LimitReader(body, MaxBody+1))
	if err != nil {
		return Metrics{}, err
	}

	parser := expfmt.NewTextParser(model.UTF8Validation)

	families, err := parser.TextToMetricFamilies(bytes.NewReader(selected))
	if err != nil {
		return Metrics{}, fmt.Errorf("%w: %s", ErrNoMetrics, clip(err.Error()))
	}

	if len(families) == 0 {
		return Metrics{}, fmt.Errorf("%w: none of its %d lines is a metric of Go's runtime or spegel's", ErrNoMetrics, lines)
	}

	var m Metrics

	for _, f := range fields {
		*f.value(&m) = f.read(families[f.name])
	}

	return m, nil
}

// filter keeps the lines of the series that are read. It drops comments, so that all series are untyped.
func filter(body io.Reader) (selected []byte, lines int, err error) {
	scanner := bufio.NewScanner(body)
	scanner.Buffer(make([]byte, 0, 4<<10), MaxLine)

	size, kept := 0, 0

	for scanner.Scan() {
		line := scanner.Bytes()
		lines++

		if size += len(line) + 1; size > MaxBody {
			return nil, lines, ErrTooLarge
		}

		// Blanks around a sample are legal, but the parser expects a timestamp after the last one.
		line = bytes.Trim(line, " \t")

		name := line
		if end := bytes.IndexAny(line, "{ \t"); end >= 0 {
			name = line[:end]
		}

		if !isRead(name) {
			continue
		}

		if len(line) > MaxSeriesLine || bytes.Count(line, []byte("=")) > MaxLabels {
			return nil, lines, ErrLabels
		}

		if kept++; kept > MaxSeries {
			return nil, lines, ErrTooMany
		}

		selected = append(append(selected, line...), '\n')
	}

	if err := scanner.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, lines, ErrLongLine
	} else if err != nil {
		return nil, lines, err
	}

	return selected, lines, nil
}

func isRead(name []byte) bool {
	for i := range fields {
		if string(name) == fields[i].name {
			return true
		}
	}

	return false
}

// read returns the value of a family's series.
func (f field) read(family *dto.MetricFamily) Value {
	series := family.GetMetric()

	switch {
	case len(series) == 0:
		return Value{Unavailable: "the target exports no " + f.name}
	case len(series) > 1 && !f.labelled:
		return Value{Unavailable: fmt.Sprintf("there are %[2]d series of %[1]s", f.name, len(series))}
	}

	var sum float64

	for _, one := range series {
		if f.label[0] != "" && labelOf(one, f.label[0]) != f.label[1] {
			continue
		}

		value := one.GetUntyped().GetValue()

		if !(value >= 0 && value <= maxValue) { // also what is not a number
			return Value{Unavailable: fmt.Sprintf("%s is %v", f.name, value)}
		}

		sum += value
	}

	return Value{Number: sum}
}

func labelOf(metric *dto.Metric, name string) string {
	for _, label := range metric.GetLabel() {
		if label.GetName() == name {
			return label.GetValue()
		}
	}

	return ""
}
