// SPDX-License-Identifier: MPL-2.0

package config

// Target selects the container to guard.
type Target struct {
	// Namespace of the pod; empty is any.
	Namespace string `yaml:"namespace"`
	// PodLabels must all be on the pod. Labels are known to the CRI only.
	PodLabels map[string]string `yaml:"podLabels"`
	// Container name within the pod.
	Container string `yaml:"container"`
	// Process is the base name of the executable, by which the container is found in procfs while the CRI cannot be reached.
	Process string  `yaml:"process"`
	Metrics Metrics `yaml:"metrics"`
}

// Metrics is where the target serves its own metrics in Prometheus' text format. They are read inside its own network
// namespace, on the loopback.
type Metrics struct {
	// Port on which the target listens; 0 reads no metrics.
	Port Port `yaml:"port"`
	// Path of the metrics.
	Path string `yaml:"path"`
	// Interval between two requests.
	Interval Duration `yaml:"interval"`
	// Readiness is asked for at the same times.
	Readiness Readiness `yaml:"readiness"`
}

// Readiness is where the target answers whether it is ready, in its own network namespace, on the loopback: status 200, or one
// from 500 on when it is not. Spegel answers on the port of its registry.
type Readiness struct {
	// Port on which the target listens; 0 does not ask.
	Port Port `yaml:"port"`
	// Path of the readiness: /readyz since v0.6 of spegel, /healthz before.
	Path string `yaml:"path"`
}
