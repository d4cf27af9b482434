// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spegel-guard/spegel-guard/test/bench/result"
	"github.com/spegel-guard/spegel-guard/test/bench/watcher"
)

const (
	interval = time.Second
	// settle is the time for the start, which is not measured. The guard releases the memory of its start after 20 s.
	settle = 25 * time.Second
	// watchers is how many clients watch in the phase with clients.
	watchers = 10
)

// phase is one configuration of the guard that is measured beside the bare reader.
type phase struct {
	name     string
	document string
	env      []string
	peers    bool
	noCRI    bool
	watchers int
}

var phases = []phase{
	{name: "no clients", peers: true},
	{name: "10 watchers and metrics", watchers: watchers, document: "metrics: {listen: \"127.0.0.1:9470\"}\n"},
	{name: "without CRI", noCRI: true},
	{name: "GOGC=25", env: []string{"GOGC=25"}},
	{name: "GOMAXPROCS=1", env: []string{"GOMAXPROCS=1"}},
}

func (o options) measure(ctx context.Context) ([]result.Phase, error) {
	if err := prepare(); err != nil {
		return nil, err
	}

	target, err := startTarget(ctx, o.target)
	if err != nil {
		return nil, err
	}

	defer target.stop() //nolint:errcheck // the measurement counts

	var found []result.Phase

	for _, p := range phases {
		if o.only != "" && o.only != p.name {
			continue
		}

		used, err := o.phase(ctx, p, target)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}

		found = append(found, result.Phase{Name: p.name, Usages: used})
	}

	return found, nil
}

func (o options) phase(ctx context.Context, p phase, target *target) ([]result.Usage, error) {
	fmt.Printf("\n%s, at %s, over %s:\n", p.name, interval, o.over)

	dir, err := os.MkdirTemp("", "spegel-guard-native-")
	if err != nil {
		return nil, err
	}

	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	cri := filepath.Join(dir, "cri.sock")

	if !p.noCRI {
		if err := serveRuntime(ctx, cri, target.cmd.Process.Pid); err != nil {
			return nil, err
		}
	}

	guard, err := startGuard(context.WithoutCancel(ctx), dir, o.guard, cri, p.document, p.env...)
	if err != nil {
		return nil, err
	}

	if err := guard.watch(ctx, p.watchers); err != nil {
		return nil, err
	}

	all := []*watcher.Watcher{guard.Watcher}

	for _, reader := range []struct {
		who  string
		args []string
	}{
		{"bare reader", []string{"-cgroup", target.dir(), "-netns", target.netns()}}, {"idle ticker", nil},
	} {
		w, err := watcher.Start(context.WithoutCancel(ctx), reader.who, append([]string{o.bare, "-interval", interval.String()}, reader.args...)...)
		if err != nil {
			return nil, err
		}

		all = append(all, w)
	}

	if p.peers && o.Stat != "" {
		peers, err := watcher.StartPeers(ctx, o.Programs, []string{target.cgroup}, interval)
		if err != nil {
			return nil, err
		}

		all = append(all, peers...)
	}

	time.Sleep(settle)

	used, err := watcher.Measure(all, interval, 1, o.over)
	if err != nil {
		return nil, err
	}

	cancel()

	for _, w := range all {
		if err := w.Remove(); err != nil {
			return nil, err
		}
	}

	return used, nil
}
