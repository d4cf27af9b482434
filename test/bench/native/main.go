// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Command native measures the usage of the guard on this machine, without the emulation, beside other watchers of the same
// container.
//
// It runs as root in its own mount, process, network and cgroup namespaces, in which a unified hierarchy is mounted. On a
// machine whose controllers are in the hierarchies of version 1 the container has cpu.stat and cpu.pressure only, and no
// ceiling can be written, so the guard observes. The container runtime is a stand-in that answers as the CRI does.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/spegel-guard/spegel-guard/test/bench/result"
	"github.com/spegel-guard/spegel-guard/test/bench/watcher"
)

// insideEnv marks the process in the namespaces.
const insideEnv = "SPEGEL_GUARD_BENCH_INSIDE"

// options are the programs that are measured, and how long.
type options struct {
	watcher.Programs
	guard, target, bare string
	over                time.Duration
	// only selects a phase by its name.
	only string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "native:", err)
		os.Exit(1)
	}
}

func run() error {
	var o options

	flag.StringVar(&o.guard, "guard", "", "path of spegel-guard")
	flag.StringVar(&o.target, "target", "", "path of test/runaway, named spegel")
	flag.StringVar(&o.bare, "bare", "", "path of test/bench/cmd/bare")
	flag.StringVar(&o.Stat, "stat", "", "path of test/peers/stat; empty to leave the other watchers out")
	flag.StringVar(&o.Exporter, "exporter", "", "path of prometheus-node-exporter")
	flag.StringVar(&o.Cadvisor, "cadvisor", "", "path of test/peers/cadvisor")
	flag.DurationVar(&o.over, "over", time.Minute, "time of each measurement")
	flag.StringVar(&o.only, "only", "", "measure one phase")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	if os.Getenv(insideEnv) == "" {
		return enter(ctx)
	}

	found, err := o.measure(ctx)
	if err != nil {
		return err
	}

	text, err := json.Marshal(result.Guest{Native: found})
	if err != nil {
		return err
	}

	fmt.Println(result.Mark + string(text))

	return nil
}

// enter runs this program again in its own namespaces.
func enter(ctx context.Context) error {
	inside := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	inside.Env = append(os.Environ(), insideEnv+"=1")
	inside.Stdout, inside.Stderr = os.Stdout, os.Stderr
	inside.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWCGROUP,
		Pdeathsig:  syscall.SIGKILL,
	}

	return inside.Run()
}
