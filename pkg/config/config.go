// SPDX-License-Identifier: MPL-2.0

// Package config is the guard's configuration document: its fields, their units, defaults and bounds.
//
// On Talos the document comes from ExtensionServiceConfig and is mounted at Path; without one the
// defaults apply. The package reads no file: it takes bytes and returns values.
package config

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
)

// Path is where the service looks for its document.
const Path = "/usr/local/etc/spegel-guard/config.yaml"

// The document's apiVersion and kind.
const (
	APIVersion = "v1alpha1"
	Kind       = "SpegelGuardConfig"
)

// Mode says whether the guard acts.
type Mode string

// Modes.
const (
	// ModeObserve decides and reports, and writes nothing.
	ModeObserve Mode = "observe"
	// ModeEnforce writes ceilings.
	ModeEnforce Mode = "enforce"
)

// Signal is what a rule measures.
type Signal string

// Signals.
const (
	// SignalCPU is the container's processor use in cores (cpu.stat usage_usec).
	SignalCPU Signal = "cpu"
	// SignalNetworkTX is what the pod sends in bytes per second (all links of its network namespace but loopback).
	SignalNetworkTX Signal = "networkTx"
	// SignalNetworkRX is what the pod receives in bytes per second.
	SignalNetworkRX Signal = "networkRx"
	// SignalAllocation is what the Go program allocates in bytes per second (go_memstats_alloc_bytes_total).
	SignalAllocation Signal = "allocation"
	// SignalThrottled is the share of enforcement periods with throttling, 0..1 (cpu.stat nr_throttled of nr_periods).
	SignalThrottled Signal = "throttled"
	// SignalCPUPressure is the share of time in which some task waited for a processor, 0..1 (cpu.pressure "some").
	SignalCPUPressure Signal = "cpuPressure"
)

// Signals are all of them.
func Signals() []Signal {
	return []Signal{SignalCPU, SignalNetworkTX, SignalNetworkRX, SignalAllocation, SignalThrottled, SignalCPUPressure}
}

// Bytes tells that the signal is a rate of bytes.
func (s Signal) Bytes() bool {
	return s == SignalNetworkTX || s == SignalNetworkRX || s == SignalAllocation
}

// Format writes a value of the signal for people: 1803m, 1.4 MB/s, 37 %. An expression's is true or false.
func (s Signal) Format(value float64) string {
	switch {
	case s == SignalCPU:
		return fmt.Sprintf("%.0fm", value*1000)
	case s.Bytes():
		return humanize.Bytes(uint64(math.Round(max(0, value)))) + "/s"
	case s == "":
		return strconv.FormatBool(value > 0)
	default:
		return fmt.Sprintf("%.0f %%", value*100)
	}
}

// Strategy says how a ceiling is found.
type Strategy string

// Strategies.
const (
	// StrategyFixed writes ceiling.cpu and leaves it there.
	StrategyFixed Strategy = "fixed"
	// StrategyAdaptive starts there and steps down while a rule about bytes stays above its threshold.
	StrategyAdaptive Strategy = "adaptive"
)

// StopAction says what happens to a ceiling when the service stops.
type StopAction string

// Actions on stop.
const (
	// StopRelease restores the owner's value.
	StopRelease StopAction = "release"
	// StopKeep leaves the ceiling in force; the next start adopts it.
	StopKeep StopAction = "keep"
)

// Conflict says what happens when somebody else writes cpu.max while a ceiling is in force. Either
// way theirs is the owner's new value, and what a release restores.
type Conflict string

// Ways to deal with a conflict.
const (
	// ConflictReassert applies the lower of the two again, ever more slowly.
	ConflictReassert Conflict = "reassert"
	// ConflictYield leaves theirs in force for the rest of the hold.
	ConflictYield Conflict = "yield"
)

// TLSSource says where the API's certificates come from.
type TLSSource string

// Sources of certificates.
const (
	// TLSTalos: the node's own, which apid shows and accepts, from machined.
	TLSTalos TLSSource = "talos"
	// TLSNone: no TLS. The API has no TCP listener then, and its unix socket alone.
	TLSNone TLSSource = "none"
	// TLSFiles: PEM files on the node.
	TLSFiles TLSSource = "files"
)

// Config is the whole document.
type Config struct {
	// APIVersion of this form of the document.
	APIVersion string `yaml:"apiVersion"`
	// Kind of the document.
	Kind string `yaml:"kind"`
	// Mode: observe decides and reports, and writes nothing; enforce acts.
	Mode Mode `yaml:"mode"`
	// Interval between two samples.
	Interval Duration `yaml:"interval"`
	Target   Target   `yaml:"target"`
	Rules    []Rule   `yaml:"rules"`
	Ceiling  Ceiling  `yaml:"ceiling"`
	Evidence Evidence `yaml:"evidence"`
	Trace    Trace    `yaml:"trace"`
	API      API      `yaml:"api"`
	Metrics  Exporter `yaml:"metrics"`
}

// Target selects the container to guard.
type Target struct {
	// Namespace of the pod; empty is any.
	Namespace string `yaml:"namespace"`
	// PodLabels must all be on the pod. Labels are known to the CRI only.
	PodLabels map[string]string `yaml:"podLabels"`
	// Container name within the pod.
	Container string `yaml:"container"`
	// Process is the executable's base name, by which the container is found in procfs while the CRI cannot be reached.
	Process string  `yaml:"process"`
	Metrics Metrics `yaml:"metrics"`
}

// Metrics is where the target tells of itself in Prometheus' text format. It is asked inside its own
// network namespace, on the loopback.
type Metrics struct {
	// Port on which the target listens; 0 asks nothing.
	Port Port `yaml:"port"`
	// Path of the question.
	Path string `yaml:"path"`
	// Interval between two questions.
	Interval Duration `yaml:"interval"`
}

// Evidence is what is kept of a target from just before its ceiling: its /metrics, and a profile.
type Evidence struct {
	// Profile is how long its processor use is profiled (net/http/pprof at the port of its metrics), which
	// puts the ceiling off by as long; 0 takes no profile.
	Profile Duration `yaml:"profile"`
	// Limit of one file in bytes; 0 keeps no evidence.
	Limit Amount `yaml:"limit"`
}

// Rule says when a ceiling is due, in one of three ways: a signal's average over Window stays above
// Threshold for For; a signal uses up its Credit; or Expression stays true for For.
type Rule struct {
	// Name in actions, alerts and metrics.
	Name string `yaml:"name"`
	// Signal that is compared: cpu in cores; networkTx, networkRx and allocation in bytes per second; throttled
	// (enforcement periods) and cpuPressure (time in which some task waited) as shares.
	Signal Signal `yaml:"signal,omitempty"`
	// Mode of this rule alone; empty is the document's. A rule in observe never leads to a ceiling.
	Mode Mode `yaml:"mode,omitempty"`
	// Threshold in the signal's unit: cores (400m), a rate (500k/s, 1G/min) or a share (50%).
	Threshold Threshold `yaml:"threshold,omitempty"`
	// Release is the value at or under which the rule is quiet again; left out, 70 % of the threshold.
	Release Threshold `yaml:"release,omitempty"`
	// For is how long the average must have been above the threshold.
	For Duration `yaml:"for,omitempty"`
	// Dip is the share of the time that may be under the threshold without For beginning anew:
	// For above it within For/(1-Dip).
	Dip Share `yaml:"dip,omitempty"`
	// Window that the average is made over; 1m unless set.
	Window Duration `yaml:"window"`
	Credit Credit   `yaml:"credit,omitempty"`
	// Expression in CEL over the signals' averages, by their names: cpu > 0.4 && networkTx > 500000.0.
	Expression Expression `yaml:"expression,omitempty"`
}

// Credit is a token bucket. It earns at a steady rate what the signal may use in the long run, and
// holds what a burst may use beyond that; the rule fires when it is empty.
type Credit struct {
	// Earn is what comes in: cores, or bytes per second.
	Earn Threshold `yaml:"earn"`
	// Capacity of the bucket: core-time (10m is 10 core-minutes), or bytes (2G).
	Capacity Amount `yaml:"capacity"`
}

// IsZero tells that there is none.
func (c Credit) IsZero() bool { return c == Credit{} }

// DefaultRelease is the share of the threshold at which a rule is quiet again.
const DefaultRelease = 0.7

// Limit is what the signal is compared with: the threshold, or what the credit earns. 0 for an expression.
func (r Rule) Limit() float64 {
	if !r.Credit.IsZero() {
		return r.Credit.Earn.Value
	}

	return r.Threshold.Value
}

// ReleaseAt is the value at or under which the rule is quiet again.
func (r Rule) ReleaseAt() float64 {
	if !r.Release.IsZero() {
		return r.Release.Value
	}

	return DefaultRelease * r.Limit()
}

// Ceiling is what a tripped rule leads to.
type Ceiling struct {
	// CPU is the quota to write, in cores.
	CPU CPU `yaml:"cpu"`
	// Floor is the least the guard ever writes, in cores.
	Floor CPU `yaml:"floor"`
	// Strategy: fixed leaves the ceiling as it is; adaptive steps down while a rule about bytes stays above its threshold.
	Strategy Strategy `yaml:"strategy"`
	// Step is what one step of the adaptive strategy leaves of the ceiling.
	Step Share `yaml:"step"`
	// Hold is the least time a ceiling stays.
	Hold Duration `yaml:"hold"`
	// ReleaseAfter is how long every rule must be quiet, with no demand pressing on the ceiling.
	ReleaseAfter Duration `yaml:"releaseAfter"`
	// Probe is how long the ceiling is lifted, after the hold, to see what demand that presses on it
	// is like without it; 0 never lifts it while demand presses.
	Probe Duration `yaml:"probe"`
	// Backoff is how the hold grows.
	Backoff Backoff `yaml:"backoff"`
	// Conflict is what is done when somebody else writes cpu.max, whose value is the owner's new one either way: reassert
	// applies the lower of the two again, ever more slowly; yield leaves theirs in force for the rest of the hold.
	Conflict Conflict `yaml:"conflict"`
	// OnStop is what becomes of a ceiling when the service stops: release it, or keep it for the next start.
	OnStop StopAction `yaml:"onStop"`
}

// Backoff of the hold: each trip multiplies the next one's hold by Factor, up to Max; each Max
// without a trip takes one factor back.
type Backoff struct {
	// Factor that each trip multiplies the next hold by.
	Factor Share `yaml:"factor"`
	// Max is the longest hold.
	Max Duration `yaml:"max"`
}

// Trace records what the policy sees, for replay.
type Trace struct {
	// Path of the file, empty for none. One older file is kept beside it, with .1 at its end.
	Path string `yaml:"path"`
	// Limit of each of the two files in bytes.
	Limit Amount `yaml:"limit"`
}

// API is the gRPC server on TCP.
type API struct {
	// Listen is host:port; the host may be empty.
	Listen string `yaml:"listen"`
	TLS    TLS    `yaml:"tls"`
	// Forward requests for other nodes (talosctl -n) to their guards, as apid does. It takes a client
	// certificate that those believe, which with TLSTalos control plane nodes have. They must listen on the
	// same port.
	Forward bool `yaml:"forward"`
}

// TLS is mutual: where the certificates come from, and whose clients are accepted. The paths are for TLSFiles only.
type TLS struct {
	// Source: talos (the node's own certificates, which apid has), files, or none.
	Source TLSSource `yaml:"source"`
	// CA whose clients are accepted.
	CA string `yaml:"ca"`
	// Cert is shown to them.
	Cert string `yaml:"cert"`
	// Key of Cert. It is kept in memory alone, and shown nowhere.
	Key string `yaml:"key"`
}

// Exporter serves the guard's own metrics to Prometheus.
type Exporter struct {
	// Listen is host:port; the host may be empty. Without it nothing is served.
	Listen string `yaml:"listen"`
	// TLS, with source none: plain HTTP.
	TLS TLS `yaml:"tls"`
}

// Default is the document in force when there is none: the incident's alerts on processor and network,
// and a credit for bursty load that never stays above a threshold for long. Its alert on allocation is
// left out: in the incident's traces it is true of the victims too, whom a ceiling would not help.
func Default() Config {
	return Config{
		APIVersion: APIVersion,
		Kind:       Kind,
		Mode:       ModeEnforce,
		Interval:   Duration{Duration: time.Second},
		Target: Target{
			PodLabels: map[string]string{"app.kubernetes.io/name": "spegel"},
			Container: "registry",
			Process:   "spegel",
			Metrics:   Metrics{Port: Port{Number: 9090}, Path: "/metrics", Interval: Duration{Duration: 10 * time.Second}},
		},
		Rules: []Rule{
			{
				Name: "SpegelHighCPU", Signal: SignalCPU, Threshold: MustThreshold("400m"),
				For: Duration{Duration: 10 * time.Minute}, Window: Duration{Duration: time.Minute},
			},
			{
				Name: "SpegelHighNetworkTX", Signal: SignalNetworkTX, Threshold: MustThreshold("500k/s"),
				For: Duration{Duration: 10 * time.Minute}, Window: Duration{Duration: time.Minute},
			},
			{
				Name: "SpegelCPUCredit", Signal: SignalCPU, Window: Duration{Duration: time.Minute},
				Credit: Credit{Earn: MustThreshold("400m"), Capacity: MustAmount("10m")},
			},
		},
		Ceiling: Ceiling{
			CPU:          CPU{Millicores: 500},
			Floor:        CPU{Millicores: 100},
			Strategy:     StrategyFixed,
			Step:         Share{Value: 0.75},
			Hold:         Duration{Duration: 10 * time.Minute},
			ReleaseAfter: Duration{Duration: 5 * time.Minute},
			Probe:        Duration{Duration: time.Minute},
			Backoff:      Backoff{Factor: Share{Value: 2}, Max: Duration{Duration: 2 * time.Hour}},
			Conflict:     ConflictReassert,
			OnStop:       StopRelease,
		},
		Evidence: Evidence{Limit: MustAmount("4M")},
		Trace:    Trace{Limit: MustAmount("16M")},
		API:      API{Listen: ":50321", TLS: TLS{Source: TLSTalos}},
		Metrics:  Exporter{TLS: TLS{Source: TLSNone}},
	}
}
