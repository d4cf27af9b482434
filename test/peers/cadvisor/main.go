// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Command cadvisor watches a node as cAdvisor does, with its own library: it walks the whole hierarchy and keeps
// house for every cgroup once per interval. It is what the guard's benchmark compares with, and a module of its
// own, so that nothing of it is among the guard's.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/google/cadvisor/cache/memory"
	"github.com/google/cadvisor/container"
	"github.com/google/cadvisor/manager"
	"github.com/google/cadvisor/utils/sysfs"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "cadvisor:", err)
		os.Exit(1)
	}
}

func run() error {
	interval := flag.Duration("interval", time.Second, "of keeping house")
	flag.Parse()

	dynamic := false

	// What the guard reads, and what kubelet reads at least.
	metrics := container.MetricSet{container.CpuUsageMetrics: {}, container.MemoryUsageMetrics: {}, container.NetworkUsageMetrics: {}}

	m, err := manager.New(memory.New(2*time.Minute, nil), sysfs.NewRealSysFs(),
		manager.HousekeepingConfig{Interval: interval, AllowDynamic: &dynamic}, metrics, http.DefaultClient, []string{"/"}, nil, "", 0)
	if err != nil {
		return fmt.Errorf("failed to create the manager: %w", err)
	}

	if err := m.Start(); err != nil {
		return fmt.Errorf("failed to start the manager: %w", err)
	}

	select {}
}
