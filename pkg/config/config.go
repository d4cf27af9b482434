// SPDX-License-Identifier: MPL-2.0

// Package config is the guard's configuration document: its fields, their units, defaults and bounds.
//
// On Talos the document comes from ExtensionServiceConfig and is mounted at Path; without one the
// defaults apply. The package reads no file: it takes bytes and returns values.
package config

import "github.com/spegel-guard/spegel-guard/pkg/policy"

// Path is where the service reads its document.
const Path = filesFolder + "/config.yaml"

// The document's apiVersion and kind.
const (
	APIVersion = "v1alpha1"
	Kind       = "SpegelGuardConfig"
)

// Mode says whether ceilings are written.
type Mode = policy.Mode

// Modes.
const (
	ModeObserve = policy.ModeObserve
	ModeEnforce = policy.ModeEnforce
)

// Signal is what a rule measures.
type Signal = policy.Signal

// Signals that others name.
const (
	SignalCPU        = policy.SignalCPU
	SignalNetworkTX  = policy.SignalNetworkTX
	SignalNetworkRX  = policy.SignalNetworkRX
	SignalAllocation = policy.SignalAllocation
	SignalThrottled  = policy.SignalThrottled
)

// Config is the whole document.
type Config struct {
	// APIVersion of this form of the document.
	APIVersion string `yaml:"apiVersion"`
	// Kind of the document.
	Kind string `yaml:"kind"`
	// Mode: observe decides and reports, and writes nothing; enforce writes ceilings.
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

// Evidence is what is saved of a target at its ceiling: its /metrics before and after it, and a profile before it.
type Evidence struct {
	// Profile is how long its CPU use is profiled (net/http/pprof at the port of its metrics), which delays the
	// ceiling by as long; 0 takes no profile.
	Profile Duration `yaml:"profile"`
	// Limit of one file in bytes; 0 saves no evidence.
	Limit Amount `yaml:"limit"`
}

// Trace records what the policy sees, for replay.
type Trace struct {
	// Path of the file; empty for none. One older file is kept beside it with the suffix .1.
	Path string `yaml:"path"`
	// Limit of each of the two files in bytes.
	Limit Amount `yaml:"limit"`
}

// Policy returns what the policy decides by.
func (c Config) Policy() policy.Config {
	converted := policy.Config{Mode: c.Mode, Ceiling: c.Ceiling.policy()}

	for _, rule := range c.Rules {
		converted.Rules = append(converted.Rules, rule.policy())
	}

	return converted
}
