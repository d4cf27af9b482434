//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/controller/runtime"
	"github.com/cosi-project/runtime/pkg/controller/runtime/options"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/api"
	"github.com/spegel-guard/spegel-guard/service/internal/controllers"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
	"github.com/spegel-guard/spegel-guard/service/internal/metrics"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// lockInterval is how often a guard that waits for the lock tries to acquire it.
const lockInterval = time.Second

// guard runs the daemon until the context ends. No document, file or socket of the node ends it: an error is a bug.
func guard(ctx context.Context, f flags, lock *enforce.Lock, logger *zap.Logger) error {
	configureFootprint()

	if !waitForLock(ctx, lock, logger) {
		return nil
	}

	node := enforce.Node{Host: host.Host{Proc: f.proc, Cgroup: f.cgroup, BootID: bootID(f.proc, logger)}}
	loaded := controllers.LoadConfig(f.config)

	logger.Info("starting spegel-guard", zap.String("version", api.Version), zap.String("mode", string(loaded.Mode)), zap.String("config", loaded.Source))

	st := state.WrapCore(namespaced.NewState(inmem.Build))

	if err := resources.Register(ctx, st); err != nil {
		return err
	}

	feed := observe.NewFeed()
	exported := metrics.New(st, feed, api.Version)
	node.Failed = exported.Failed
	serving := newServing(f, node, loaded.Config, st, exported, logger)

	engine, ceilings, err := newEngine(f, node, lock, loaded, st, feed, serving, logger)
	if err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)

	group.Go(func() error {
		// It restores the owner's limits however the engine ends, and does not wait for the servers.
		defer ceilings.Stop()

		return engine.Run(ctx)
	})

	serving.start(ctx, group)

	group.Go(func() error {
		if err := trimOnceStarted(ctx); err != nil {
			logger.Info("failed to release unused memory, the service works without", zap.Error(err))
		}

		return nil
	})

	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}

	logger.Info("spegel-guard stopped")

	return nil
}

// waitForLock waits while another guard has the lock, and returns false if the context ends first. After any other error
// CeilingController acquires the lock: it writes nothing without it and reports a condition.
func waitForLock(ctx context.Context, lock *enforce.Lock, logger *zap.Logger) bool {
	ticker := time.NewTicker(lockInterval)
	defer ticker.Stop()

	for logged := false; ; {
		err := lock.Acquire()
		if !errors.Is(err, enforce.ErrLocked) {
			return true
		}

		if !logged {
			logger.Error("waiting for the lock, this process watches and serves nothing until then", zap.Error(err))

			logged = true
		}

		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

// bootID reads the id of this boot. If it cannot it returns an id that no other process has: saved state and journals are
// not applied then, because they may be of an earlier boot.
func bootID(proc string, logger *zap.Logger) string {
	id, err := host.ReadBootID(proc)
	if err == nil {
		return id
	}

	logger.Error("failed to read the boot id, saved state is not applied", zap.Error(err))

	return "unknown-" + rand.Text()
}

// seedOf returns the seed for the initial CPU credits. It differs between nodes and between boots of a node.
func seedOf(bootID string) uint64 {
	hash := fnv.New64a()
	hash.Write([]byte(bootID))

	return hash.Sum64()
}

// newEngine registers the controllers, after it has taken over what an earlier process left.
func newEngine(
	f flags, node enforce.Node, lock *enforce.Lock, loaded controllers.LoadedConfig, st state.State, feed *observe.Feed, serving *serving,
	logger *zap.Logger,
) (controller.Engine, *controllers.CeilingController, error) {
	engine, err := runtime.NewRuntime(st, logger, options.WithMetrics(false))
	if err != nil {
		return nil, nil, fmt.Errorf("failed to create the controller runtime: %w", err)
	}

	left := takeOver(node, lock, loaded.Mode, logger)
	file := persist.File[persist.Workload]{Path: f.state, BootID: node.BootID}

	remembered, err := file.Load()
	if err != nil {
		logger.Error("failed to load saved state, starting without it", zap.String("mode", string(loaded.Mode)), zap.Error(err))
	}

	ceilings := &controllers.CeilingController{
		Host: node.Host, Failed: node.Failed, Lock: lock, Leftovers: left, Initial: loaded.Config, Log: serving.node.Actions, Reaction: serving.metrics.Reaction,
	}

	if f.evidence != "" {
		ceilings.Evidence = &record.Evidence{Dir: f.evidence}
	}

	cri := discover.NewCRI(f.cri)
	sources := []discover.Source{cri, discover.NewProcfs(f.proc)}

	if f.machined != "" {
		sources = slices.Insert(sources, 0, discover.Source(discover.NewMachined(f.machined, f.proc, cri)))
	}

	for _, c := range []controller.Controller{
		&controllers.ConfigController{Path: f.config, Served: loaded.Config},
		&controllers.TargetController{Host: node.Host, Sources: sources, Events: cri},
		&controllers.SampleController{Host: node.Host, Feed: feed, Duration: serving.metrics.SampleDuration},
		&controllers.NodeController{Host: node.Host, Content: f.content, Pods: cri},
		&controllers.PolicyController{
			Feed: feed, Urgent: ceilings.Wake, Memory: file, Remembered: recall(remembered, left, loaded), Seed: seedOf(node.BootID), History: serving.node.History,
		},
		ceilings,
	} {
		if err := engine.RegisterController(c); err != nil {
			return nil, nil, fmt.Errorf("failed to register %s: %w", c.Name(), err)
		}
	}

	return engine, ceilings, nil
}

// takeOver decides about the ceilings that an earlier process left. Without the lock it touches none.
func takeOver(node enforce.Node, lock *enforce.Lock, mode config.Mode, logger *zap.Logger) enforce.Leftovers {
	// Without a hierarchy there are none.
	if err := lock.Acquire(); err != nil && !errors.Is(err, cgroup.ErrNotUnified) {
		logger.Error("ceilings of an earlier process are left as they are", zap.String("mode", string(mode)), zap.Error(err))

		return enforce.Leftovers{Ceilings: map[string]*enforce.Ceiling{}}
	}

	left, err := enforce.TakeOver(node, mode, logger)
	if err != nil {
		// What could not be taken over is left as it is; guarding goes on.
		logger.Error("error taking over an earlier process's ceilings", zap.String("mode", string(mode)), zap.Error(err))
	}

	return left
}
