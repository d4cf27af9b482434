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

// lockInterval is how often a guard that waits for another one's end looks.
const lockInterval = time.Second

// guard runs the daemon until the context ends. What it finds of documents, files and sockets does not end it: an
// error is a fault of the program.
func guard(ctx context.Context, f flags, lock *enforce.Lock, logger *zap.Logger) error {
	configureFootprint()

	if !waitForLock(ctx, lock, logger) {
		return nil
	}

	node := enforce.Node{Host: host.Host{Proc: f.proc, Cgroup: f.cgroup, BootID: bootID(f.proc, logger)}}
	loaded := controllers.LoadConfig(f.config)

	logger.Info("starting", zap.String("version", api.Version), zap.String("mode", string(loaded.Mode)), zap.String("config", loaded.Source))

	st := state.WrapCore(namespaced.NewState(inmem.Build))

	if err := resources.Register(ctx, st); err != nil {
		return err
	}

	feed := observe.NewFeed()
	exported := metrics.New(st, feed, api.Version)
	node.Failed = exported.Failed
	active := &config.Active{}
	serving := newServing(f, node, loaded.Config, active, st, exported, logger)

	engine, ceilings, err := newEngine(f, node, lock, loaded, active, st, feed, serving, logger)
	if err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)

	group.Go(func() error {
		// However it ends, and before the servers have: nothing may be left behind for their sake.
		defer ceilings.Stop()

		return engine.Run(ctx)
	})

	serving.start(ctx, group)

	group.Go(func() error {
		// It works as well with what it holds.
		if err := trimOnceStarted(ctx); err != nil {
			logger.Info("memory that is not needed any more is kept", zap.Error(err))
		}

		return nil
	})

	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}

	logger.Info("stopped")

	return nil
}

// waitForLock waits while another guard has the lock. It tells false when the context ended before that. Any other
// error leaves the lock to CeilingController, which writes nothing without it and reports a condition.
func waitForLock(ctx context.Context, lock *enforce.Lock, logger *zap.Logger) bool {
	ticker := time.NewTicker(lockInterval)
	defer ticker.Stop()

	for said := false; ; {
		err := lock.Acquire()
		if !errors.Is(err, enforce.ErrLocked) {
			return true
		}

		if !said {
			logger.Error("waiting, nothing is watched or served by this process until then", zap.Error(err))

			said = true
		}

		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

// bootID reads the id of this boot. Without one it makes an id that no other process has: saved state and journals
// are of another boot then, so no hold goes on that may be an earlier boot's.
func bootID(proc string, logger *zap.Logger) string {
	id, err := host.ReadBootID(proc)
	if err == nil {
		return id
	}

	logger.Error("saved state of earlier processes is not applied", zap.Error(err))

	return "unknown-" + rand.Text()
}

// seedOf draws where the credits start: another place on each node, and in each of its boots.
func seedOf(bootID string) uint64 {
	hash := fnv.New64a()
	hash.Write([]byte(bootID))

	return hash.Sum64()
}

// newEngine registers the controllers, after it has taken over what an earlier process left.
func newEngine(
	f flags, node enforce.Node, lock *enforce.Lock, loaded controllers.LoadedConfig, active *config.Active, st state.State, feed *observe.Feed,
	serving *serving, logger *zap.Logger,
) (controller.Engine, *controllers.CeilingController, error) {
	engine, err := runtime.NewRuntime(st, logger, options.WithMetrics(false))
	if err != nil {
		return nil, nil, fmt.Errorf("error making the controller runtime: %w", err)
	}

	left := takeOver(node, lock, loaded.Mode, logger)
	file := persist.File[persist.Workload]{Path: f.memory, BootID: node.BootID}

	remembered, err := file.Load()
	if err != nil {
		logger.Error("earlier decisions are forgotten", zap.String("mode", string(loaded.Mode)), zap.Error(err))
	}

	ceilings := &controllers.CeilingController{
		Host: node.Host, Failed: node.Failed, Lock: lock, Leftovers: left, Initial: loaded.Config, Active: active, Log: serving.log, Reaction: serving.metrics.Reaction,
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
		&controllers.ConfigController{Path: f.config, Initial: loaded, Active: active},
		&controllers.TargetController{Host: node.Host, Sources: sources, Events: cri, Active: active},
		&controllers.SampleController{Host: node.Host, Feed: feed, Duration: serving.metrics.SampleDuration, Active: active},
		&controllers.NodeController{Host: node.Host, Content: f.content, Pods: cri},
		&controllers.PolicyController{
			Feed: feed, Urgent: ceilings.Wake, Memory: file, Remembered: recall(remembered, left, loaded), Seed: seedOf(node.BootID), History: serving.node.History,
			Active: active,
		},
		ceilings,
	} {
		if err := engine.RegisterController(c); err != nil {
			return nil, nil, fmt.Errorf("error registering %s: %w", c.Name(), err)
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
