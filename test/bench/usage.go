// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/spegel-guard/spegel-guard/test/bench/result"
	"github.com/spegel-guard/spegel-guard/test/bench/watcher"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// programs are those that test/bench/report copies to the test machine.
var programs = watcher.Programs{Stat: "/usr/bin/peer-stat", Exporter: "/usr/bin/node-exporter", Cadvisor: "/usr/bin/peer-cadvisor"}

// settle is the time for start-up, which is not measured.
const settle = 10 * time.Second

// usages measures the guard and other watchers that watch the same idle containers at the same time.
func usages(ctx context.Context, n *node.Node, found *result.Guest) error {
	for _, targets := range []int{1, 10} {
		pods, err := runPods(ctx, n, targets)
		if err != nil {
			return err
		}

		for _, c := range []struct{ interval, over time.Duration }{
			{100 * time.Millisecond, 30 * time.Second}, {time.Second, time.Minute}, {10 * time.Second, 2 * time.Minute},
		} {
			used, err := usage(ctx, n, pods, c.interval, c.over)
			if err != nil {
				return err
			}

			found.Usages = append(found.Usages, used...)
		}

		removePods(pods)
	}

	return nil
}

func usage(ctx context.Context, n *node.Node, pods []*node.Pod, interval, over time.Duration) ([]result.Usage, error) {
	fmt.Printf("\n%d targets at %s, over %s:\n", len(pods), interval, over)

	guard, err := startGuard(ctx, n, "interval: "+interval.String()+"\n")
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	cgroups := make([]string, len(pods))
	for i, pod := range pods {
		cgroups[i] = pod.Cgroup
	}

	watchers, err := watcher.StartPeers(ctx, programs, cgroups, interval)
	if err != nil {
		return nil, err
	}

	watchers = append([]*watcher.Watcher{{Who: "spegel-guard", Path: guard.CgroupPath}}, watchers...)

	time.Sleep(settle)

	used, err := watcher.Measure(watchers, interval, len(pods), over)
	if err != nil {
		return nil, err
	}

	cancel()

	for _, w := range watchers {
		if err := w.Stop(); err != nil {
			return nil, err
		}
	}

	_, _, err = guard.Stop(context.WithoutCancel(ctx))

	return used, err
}

// watched measures the memory of the guard with clients over TLS.
func watched(ctx context.Context, n *node.Node, found *result.Guest) error {
	const watchers = 10

	pods, err := runPods(ctx, n, 1)
	if err != nil {
		return err
	}

	defer removePods(pods)

	guard, err := startGuard(ctx, n, "interval: 1s\nmetrics: {listen: \"127.0.0.1:9470\"}\n")
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var watching sync.WaitGroup

	for i := range watchers {
		if err := watch(ctx, guard, "watcher-"+strconv.Itoa(i), &watching); err != nil {
			return err
		}
	}

	// Prometheus scrapes it, too.
	time.Sleep(time.Minute)

	w := watcher.Watcher{Path: guard.CgroupPath}
	found.Watched.Watchers = watchers

	if found.Watched.Memory, err = w.Memory(); err != nil {
		return err
	}

	fmt.Printf("\nwith TLS and %d watchers: %.1f MiB resident, of which %.1f MiB anonymous; peak %.1f MiB\n", watchers,
		found.Watched.RSSMiB, found.Watched.AnonymousMiB, found.Watched.PeakMiB)

	cancel()
	watching.Wait()

	_, _, err = guard.Stop(context.WithoutCancel(ctx))

	return err
}
