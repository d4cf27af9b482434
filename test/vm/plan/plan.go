// SPDX-License-Identifier: MPL-2.0

// Package plan describes the programs that the guest runs.
package plan

// Path is the path of the plan in the guest.
const Path = "/etc/spegel-guard/plan.json"

// Plan lists the programs of a boot, which run one after another.
type Plan struct {
	// Marker begins the lines of the guest's init on the output port. It is random, so that no program prints it.
	Marker string `json:"marker"`
	// Modules are kernel module files, in loading order.
	Modules []string `json:"modules"`
	// Programs run in order. A failure does not stop the following programs.
	Programs []Program `json:"programs"`
}

// Program is a command.
type Program struct {
	Path string   `json:"path"`
	Args []string `json:"args"`
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
}
