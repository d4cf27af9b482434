// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
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

// overrides returns the file of saved overrides, in the directory of the saved state.
func (f flags) overrides() string { return sibling(f.state, "overrides.json") }

// history returns the file of the saved history, in the directory of the saved state.
func (f flags) history() string { return sibling(f.state, "history.json") }

// captures returns the directory for evidence that people capture. It is not the one for the evidence of ceilings, so
// that captures do not remove that.
func (f flags) captures() string { return sibling(f.evidence, "captures") }

// sibling returns the path of a name in the directory of another path; empty if that is.
func sibling(path, name string) string {
	if path == "" {
		return ""
	}

	return filepath.Join(filepath.Dir(path), name)
}

const usage = `usage: spegel-guard [flags]                guard this node
       spegel-guard [flags] restore        restore the owner's limit of every container on this node and exit
       spegel-guard config validate FILE   check a configuration document and exit
       spegel-guard version                print the version and exit

`

// parseFlags parses the command line. For -h it prints the flags and returns flag.ErrHelp. Other errors are one line, because
// Talos shows only the last 512 bytes that a failed service has printed.
func parseFlags(args []string, help io.Writer) (flags, error) {
	var f flags

	set := flag.NewFlagSet("spegel-guard", flag.ContinueOnError)
	set.SetOutput(io.Discard)

	set.StringVar(&f.config, "config", config.Path, "configuration document; the defaults apply if the file does not exist")
	set.StringVar(&f.proc, "proc", "/proc", "root of the node's procfs")
	set.StringVar(&f.cgroup, "cgroup", "/sys/fs/cgroup", "root of the node's unified cgroup hierarchy")
	set.StringVar(&f.cri, "cri", "/run/containerd/containerd.sock", "CRI socket of the container runtime")
	set.StringVar(&f.machined, "machined", "/system/run/machined/machine.sock", "socket of Talos' machined; empty to not use it")
	set.StringVar(&f.content, "content", "/var/lib/containerd/io.containerd.content.v1.content", "content store of containerd")
	set.StringVar(&f.evidence, "evidence", "/run/spegel-guard/evidence", "directory for evidence of ceilings; empty to keep none")
	set.StringVar(&f.socket, "socket", "/run/spegel-guard/guard.sock", "unix socket of the API")
	set.StringVar(&f.state, "state", "/run/spegel-guard/state.json", "file for state that survives a restart; empty to save none")
	set.BoolVar(&f.version, "version", false, "print the version and exit")

	switch err := set.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		set.SetOutput(help)
		fmt.Fprint(help, usage) //nolint:errcheck // there is no other output
		set.PrintDefaults()

		return f, err
	case err != nil:
		return f, fmt.Errorf("%w (spegel-guard -h lists the flags)", err)
	}

	f.command = strings.Join(set.Args(), " ")

	return f, nil
}
