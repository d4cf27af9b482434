// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/cgroups/v3/cgroup2"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/netns"
	"github.com/spegel-guard/spegel-guard/test/bench/bare"
	"github.com/spegel-guard/spegel-guard/test/bench/podnet"
	"github.com/spegel-guard/spegel-guard/test/bench/result"
)

const (
	root = "/sys/fs/cgroup"
	path = "spegel-guard-bench"
	// Goals of the comparison.
	mostOverBare    = 1.2
	leastUnderStat  = 10
	comparingRounds = 5
)

// contender is one way to sample.
type contender struct {
	name   string
	run    func() error
	best   float64
	allocs int64
}

// compare runs the ways to sample in turns and takes the best time of each, because disturbances only add time.
func compare(_ context.Context, found *result.Guest) error {
	contenders, err := contenders()
	if err != nil {
		return err
	}

	for range comparingRounds {
		for _, c := range contenders {
			if err := c.round(); err != nil {
				return fmt.Errorf("%s failed: %w", c.name, err)
			}
		}
	}

	for _, c := range contenders {
		found.Samples = append(found.Samples, result.Sample{Name: c.name, Microseconds: c.best / 1e3, Allocs: c.allocs})

		fmt.Printf("%-44s %9.1f us %6d allocs\n", c.name, c.best/1e3, c.allocs)
	}

	cgroupPart, whole, bare, stat := contenders[0], contenders[1], contenders[2], contenders[3]
	overBare, underStat := whole.best/bare.best, stat.best/cgroupPart.best

	fmt.Printf("\na whole sample takes %.2f times as long as its system calls alone (goal: at most %.1f)\n", overBare, mostOverBare)
	fmt.Printf("cgroup2.Manager.Stat() takes %.1f times as long as the cgroup part (goal: at least %d)\n\n", underStat, leastUnderStat)

	if cgroupPart.allocs != 0 || overBare > mostOverBare || underStat < leastUnderStat {
		return errors.New("a goal is not met")
	}

	return nil
}

func (c *contender) round() error {
	var failed error

	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()

		for b.Loop() {
			if failed = c.run(); failed != nil {
				b.SkipNow()
			}
		}
	})

	if once := float64(r.NsPerOp()); c.best == 0 || once < c.best {
		c.best = once
	}

	c.allocs = r.AllocsPerOp()

	return failed
}

func contenders() ([]*contender, error) {
	if err := errors.Join(
		os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+cpu +memory +pids"), 0o644),
		os.MkdirAll(filepath.Join(root, path), 0o755),
	); err != nil {
		return nil, err
	}

	dir, err := cgroup.Open(root, path)
	if err != nil {
		return nil, err
	}

	reader, err := dir.NewReader()
	if err != nil {
		return nil, err
	}

	var namespace *netns.Namespace

	err = podnet.Do(func() (err error) {
		namespace, err = netns.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))

		return err
	})
	if err != nil {
		return nil, err
	}

	links, err := namespace.Links()
	if err != nil {
		return nil, err
	}

	manager, err := cgroup2.Load("/" + path)
	if err != nil {
		return nil, err
	}

	bare, err := bare.New(filepath.Join(root, path), namespace)
	if err != nil {
		return nil, err
	}

	sample := func() error { return sampleCgroup(reader) }

	return []*contender{
		{name: "the cgroup part of a sample", run: sample},
		{name: "a whole sample: cgroup and links", run: func() error {
			if _, err := links.Counters(); err != nil {
				return err
			}

			return sample()
		}},
		{name: "bare: its preads, and one netlink round trip", run: bare.Read},
		{name: "cgroup2.Manager.Stat()", run: func() error {
			_, err := manager.Stat()

			return err
		}},
	}, nil
}

func sampleCgroup(reader *cgroup.Reader) error {
	if _, err := reader.CPUStat(); err != nil {
		return err
	}

	if _, err := reader.CPUPressure(); err != nil {
		return err
	}

	_, current := reader.MemoryCurrent()
	_, peak := reader.MemoryPeak()
	_, events := reader.MemoryEvents()
	_, pids := reader.Pids()

	if !current || !peak || !events || !pids {
		return errors.New("the kernel does not provide all files of the cgroup")
	}

	return nil
}
