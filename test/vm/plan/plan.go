// SPDX-License-Identifier: MPL-2.0

// Package plan is what the host tells the guest to run.
package plan

// Path is where the guest finds its plan.
const Path = "/etc/spegel-guard/plan.json"

// Plan lists the programs of one boot, run one after another.
type Plan struct {
	// Marker begins the guest's own lines on the output port, so that no program's output is taken for them.
	Marker string `json:"marker"`
	// Modules are kernel module files, in loading order.
	Modules []string `json:"modules"`
	// Programs run in order; one that fails does not stop those behind it.
	Programs []Program `json:"programs"`
}

// Program is one command.
type Program struct {
	Path string   `json:"path"`
	Args []string `json:"args"`
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
}
