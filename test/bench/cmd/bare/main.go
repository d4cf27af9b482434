// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Command bare reads what the guard reads of a container, once per interval, or nothing. The benchmark compares the guard with
// it.
//
//	bare -interval 1s [-cgroup DIR -netns FILE]
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/netns"
	"github.com/spegel-guard/spegel-guard/test/bench/bare"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func run() error {
	interval := flag.Duration("interval", time.Second, "time between two readings")
	dir := flag.String("cgroup", "", "folder of the container's cgroup; empty to read nothing")
	file := flag.String("netns", "", "file of its network namespace")
	flag.Parse()

	read := func() error { return nil }

	if *dir != "" {
		namespace, err := netns.Open(*file)
		if err != nil {
			return err
		}

		reader, err := bare.New(*dir, namespace)
		if err != nil {
			return err
		}

		read = reader.Read
	}

	for range time.Tick(*interval) {
		if err := read(); err != nil {
			return fmt.Errorf("failed to read: %w", err)
		}
	}

	return nil
}
