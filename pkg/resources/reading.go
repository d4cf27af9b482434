// SPDX-License-Identifier: MPL-2.0

package resources

// Provenances of a reading.
const (
	// ProvenanceMeasured: the difference of two readings of a counter, or a gauge as it was read.
	ProvenanceMeasured = "measured"
	// ProvenanceDerived: calculated from measured values.
	ProvenanceDerived = "derived"
	// ProvenanceWarming: a rate that has one reading so far; the next one makes it measured.
	ProvenanceWarming = "warming"
	// ProvenanceUnavailable: the value cannot be read, for the reason given.
	ProvenanceUnavailable = "unavailable"
)

// Reading is a value and its provenance. Make one with a constructor of this package.
type Reading struct {
	Value      float64 `yaml:"value" protobuf:"1"`
	Provenance string  `yaml:"provenance" protobuf:"2"`
	// Reason says why a value is unavailable or warming, or in what a known value is incomplete; empty otherwise.
	Reason string `yaml:"reason,omitempty" protobuf:"3"`
}

// Measured returns a reading of a counter or a gauge.
func Measured(value float64) Reading { return Reading{Value: value, Provenance: ProvenanceMeasured} }

// Derived returns a reading that is calculated from measured values.
func Derived(value float64) Reading { return Reading{Value: value, Provenance: ProvenanceDerived} }

// Warming returns the reading of a rate that needs a second reading of its counter.
func Warming() Reading {
	return Reading{Provenance: ProvenanceWarming, Reason: "a rate needs two readings"}
}

// Unavailable returns the reading of a value that cannot be read.
func Unavailable(reason string) Reading {
	return Reading{Provenance: ProvenanceUnavailable, Reason: reason}
}

// Known reports whether the value was measured or derived.
func (r Reading) Known() bool {
	return r.Provenance == ProvenanceMeasured || r.Provenance == ProvenanceDerived
}
