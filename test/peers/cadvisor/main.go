// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Command cadvisor watches a node with cAdvisor's library, which reads every cgroup of the hierarchy once per interval. The
// benchmark compares the guard with it. It is a separate module, so that its dependencies are not those of the guard.
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
	interval := flag.Duration("interval", time.Second, "time between two readings")
	flag.Parse()

	dynamic := false

	// The metrics that the guard reads, which kubelet reads, too.
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
