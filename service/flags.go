// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

type flags struct {
	config, proc, cgroup, cri, machined string
	content, socket, state, evidence    string
	version                             bool
	command                             string
}

// overrides is where people's orders are remembered: beside the decisions.
func (f flags) overrides() string {
	if f.state == "" {
		return ""
	}

	return filepath.Join(filepath.Dir(f.state), "overrides.json")
}

// captures is where evidence is kept that people ask for: beside the evidence of ceilings, which must not
// give way to it.
func (f flags) captures() string {
	if f.evidence == "" {
		return ""
	}

	return filepath.Join(filepath.Dir(f.evidence), "captures")
}

const usage = `usage: spegel-guard [flags]           guard this node
       spegel-guard [flags] restore   release every ceiling on this node and exit
       spegel-guard config validate FILE   find every mistake in a document and exit
       spegel-guard version

`

func parseFlags() flags {
	var f flags

	flag.StringVar(&f.config, "config", config.Path, "configuration document; without the file the defaults apply")
	flag.StringVar(&f.proc, "proc", "/proc", "the node's procfs")
	flag.StringVar(&f.cgroup, "cgroup", "/sys/fs/cgroup", "root of the node's unified cgroup hierarchy")
	flag.StringVar(&f.cri, "cri", "/run/containerd/containerd.sock", "the container runtime's CRI socket")
	flag.StringVar(&f.machined, "machined", "/system/run/machined/machine.sock", "Talos' machined's socket; empty: it is not asked")
	flag.StringVar(&f.content, "content", "/var/lib/containerd/io.containerd.content.v1.content", "containerd's content store")
	flag.StringVar(&f.evidence, "evidence", "/run/spegel-guard/evidence", "where a target's state before its ceiling is kept; empty: nowhere")
	flag.StringVar(&f.socket, "socket", "/run/spegel-guard/guard.sock", "the API's unix socket")
	flag.StringVar(&f.state, "state", "/run/spegel-guard/state.json", "file of the saved state, kept over a restart; empty: none is saved")
	flag.BoolVar(&f.version, "version", false, "print the version and exit")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage) //nolint:errcheck // nowhere left to say it
		flag.PrintDefaults()
	}
	flag.Parse()

	f.command = strings.Join(flag.Args(), " ")

	return f
}
