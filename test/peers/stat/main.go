// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Command stat calls Manager.Stat() of containerd/cgroups for each cgroup once per interval. The benchmark compares the guard
// with it.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/containerd/cgroups/v3/cgroup2"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "stat:", err)
		os.Exit(1)
	}
}

func run() error {
	interval := flag.Duration("interval", time.Second, "time between two readings")
	flag.Parse()

	var managers []*cgroup2.Manager

	for _, path := range flag.Args() {
		manager, err := cgroup2.Load("/" + strings.TrimPrefix(path, "/"))
		if err != nil {
			return fmt.Errorf("failed to load %s: %w", path, err)
		}

		managers = append(managers, manager)
	}

	for range time.Tick(*interval) {
		for _, manager := range managers {
			if _, err := manager.Stat(); err != nil {
				return fmt.Errorf("failed to poll: %w", err)
			}
		}
	}

	return nil
}
