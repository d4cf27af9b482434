// Package config is the guard's configuration document: its fields, their units, defaults and bounds.
//
// On Talos the document comes from ExtensionServiceConfig and is mounted at Path; without one the
// defaults apply. The package reads no file: it takes bytes and returns values.
package config

import "time"

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

// TLSSource says where the API's certificates come from.
type TLSSource string

// Sources of certificates.
const (
	// TLSNone: no TCP listener; the unix socket alone.
	TLSNone TLSSource = "none"
	// TLSFiles: PEM files on the node.
	TLSFiles TLSSource = "files"
)

// Config is the whole document.
type Config struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Mode       Mode     `yaml:"mode"`
	Interval   Duration `yaml:"interval"`
	Target     Target   `yaml:"target"`
	Rules      []Rule   `yaml:"rules"`
	Ceiling    Ceiling  `yaml:"ceiling"`
	API        API      `yaml:"api"`
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
	Process string `yaml:"process"`
}

// Rule trips when the signal's average over Window stays above Threshold for For.
type Rule struct {
	Name      string    `yaml:"name"`
	Signal    Signal    `yaml:"signal"`
	Threshold Threshold `yaml:"threshold"`
	For       Duration  `yaml:"for"`
	Window    Duration  `yaml:"window"`
}

// Ceiling is what a tripped rule leads to.
type Ceiling struct {
	// CPU is the quota to write, in cores.
	CPU CPU `yaml:"cpu"`
	// Floor is the least the guard ever writes, in cores.
	Floor CPU `yaml:"floor"`
	// Hold is the least time a ceiling stays.
	Hold Duration `yaml:"hold"`
	// ReleaseAfter is how long every rule must be quiet, with no demand pressing on the ceiling.
	ReleaseAfter Duration `yaml:"releaseAfter"`
	// OnStop: release or keep.
	OnStop StopAction `yaml:"onStop"`
}

// API is the gRPC server on TCP.
type API struct {
	// Listen is host:port; the host may be empty.
	Listen string `yaml:"listen"`
	TLS    TLS    `yaml:"tls"`
}

// TLS certificates of the API; the files are read for TLSFiles only.
type TLS struct {
	Source TLSSource `yaml:"source"`
	CA     string    `yaml:"ca"`
	Cert   string    `yaml:"cert"`
	Key    string    `yaml:"key"`
}

// Default is the document in force when there is none: the alerts of the incident.
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
		},
		Ceiling: Ceiling{
			CPU:          CPU{Millicores: 500},
			Floor:        CPU{Millicores: 100},
			Hold:         Duration{Duration: 10 * time.Minute},
			ReleaseAfter: Duration{Duration: 5 * time.Minute},
			OnStop:       StopRelease,
		},
		API: API{Listen: ":50321", TLS: TLS{Source: TLSNone}},
	}
}
