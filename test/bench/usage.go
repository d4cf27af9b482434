// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/spegel-guard/spegel-guard/test/bench/result"
	"github.com/spegel-guard/spegel-guard/test/node"
)

const exporterAddress = "127.0.0.1:9100"

func inCgroup(fd int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
}

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

	watchers, err := startPeers(ctx, pods, interval)
	if err != nil {
		return nil, err
	}

	watchers = append([]*watcher{{who: "spegel-guard", path: guard.CgroupPath}}, watchers...)

	time.Sleep(settle)

	used, err := measure(watchers, interval, len(pods), over)
	if err != nil {
		return nil, err
	}

	cancel()

	for _, w := range watchers {
		if err := w.stop(); err != nil {
			return nil, err
		}
	}

	_, _, err = guard.Stop(context.WithoutCancel(ctx))

	return used, err
}

// startPeers starts the other watchers.
func startPeers(ctx context.Context, pods []*node.Pod, interval time.Duration) ([]*watcher, error) {
	stat := []string{"/usr/bin/peer-stat", "-interval", interval.String()}
	for _, pod := range pods {
		stat = append(stat, pod.Cgroup)
	}

	var watchers []*watcher

	for _, peer := range []struct {
		who  string
		args []string
	}{
		{"containerd/cgroups Stat polling", stat},
		{"prometheus-node-exporter, scraped", []string{"/usr/bin/node-exporter", "--web.listen-address=" + exporterAddress}},
		{"cAdvisor's library", []string{"/usr/bin/peer-cadvisor", "-interval", interval.String()}},
	} {
		w, err := start(context.WithoutCancel(ctx), peer.who, peer.args...)
		if err != nil {
			return nil, err
		}

		watchers = append(watchers, w)
	}

	go scrape(ctx, interval)

	return watchers, nil
}

// scrape requests /metrics of the node exporter, as Prometheus does.
func scrape(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}

		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+exporterAddress+"/metrics", nil)
		if err != nil {
			return
		}

		response, err := http.DefaultClient.Do(request)
		if err != nil {
			continue // it is starting
		}

		io.Copy(io.Discard, response.Body) //nolint:errcheck // only the request counts
		response.Body.Close()              //nolint:errcheck // read only
	}
}

// measure returns the usage of all watchers during a time.
func measure(watchers []*watcher, interval time.Duration, targets int, over time.Duration) ([]result.Usage, error) {
	before := make([]time.Duration, len(watchers))
	began := time.Now()

	var err error

	for i, w := range watchers {
		if before[i], err = w.processor(); err != nil {
			return nil, fmt.Errorf("failed to read the usage of %s: %w", w.who, err)
		}
	}

	time.Sleep(over)

	passed := time.Since(began)
	used := make([]result.Usage, len(watchers))

	for i, w := range watchers {
		after, err := w.processor()
		if err != nil {
			return nil, fmt.Errorf("failed to read the usage of %s: %w", w.who, err)
		}

		used[i] = result.Usage{Who: w.who, Interval: interval, Targets: targets, Cores: (after - before[i]).Seconds() / passed.Seconds()}

		if used[i].Memory, err = w.memory(); err != nil {
			return nil, fmt.Errorf("failed to read the memory of %s: %w", w.who, err)
		}

		fmt.Printf("  %-34s %7.3f %% of a core, %5.1f MiB resident, of which %5.1f MiB anonymous\n", w.who, 100*used[i].Cores, used[i].RSSMiB, used[i].AnonymousMiB)
	}

	return used, nil
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

	w := watcher{path: guard.CgroupPath}
	found.Watched.Watchers = watchers

	if found.Watched.Memory, err = w.memory(); err != nil {
		return err
	}

	fmt.Printf("\nwith TLS and %d watchers: %.1f MiB resident, of which %.1f MiB anonymous; peak %.1f MiB\n", watchers,
		found.Watched.RSSMiB, found.Watched.AnonymousMiB, found.Watched.PeakMiB)

	cancel()
	watching.Wait()

	_, _, err = guard.Stop(context.WithoutCancel(ctx))

	return err
}
