// SPDX-License-Identifier: MPL-2.0

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

	"github.com/spegel-guard/spegel-guard/internal/boottime"
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

	node := host.Host{Proc: f.proc, Cgroup: f.cgroup, BootID: bootID(f.proc, logger)}
	loaded := controllers.LoadConfig(f.config)

	logger.Info("starting spegel-guard", zap.String("version", api.Version), zap.String("mode", string(loaded.Mode)), zap.String("config", loaded.Source))

	st := state.WrapCore(namespaced.NewState(inmem.Build))

	if err := resources.Register(ctx, st); err != nil {
		return err
	}

	feed := observe.NewFeed()
	exported := metrics.New(st, feed, api.Version)
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

// newEngine registers the controllers, after it adopted what an earlier process left.
func newEngine(
	f flags, node host.Host, lock *enforce.Lock, loaded controllers.LoadedConfig, active *config.Active, st state.State, feed *observe.Feed,
	serving *serving, logger *zap.Logger,
) (controller.Engine, *controllers.CeilingController, error) {
	engine, err := runtime.NewRuntime(st, logger, options.WithMetrics(false))
	if err != nil {
		return nil, nil, fmt.Errorf("error making the controller runtime: %w", err)
	}

	ceilingNode := enforce.NewNode(node, serving.metrics.Failed)
	adopted := adopt(ceilingNode, lock, loaded.Mode, logger)
	file := persist.File[persist.Workload]{Path: f.state, BootID: node.BootID}

	saved, err := file.Load()
	if err != nil {
		logger.Error("failed to load the saved decisions, starting without them", zap.String("mode", string(loaded.Mode)), zap.Error(err))
	}

	leases := &enforce.Leases{}
	ceilings := &controllers.CeilingController{
		Host: node, Node: ceilingNode, Lock: lock, Adopted: adopted, Initial: loaded.Config, Leases: leases, Active: active, Log: serving.node.Actions,
		Reaction: serving.metrics.Reaction,
	}

	if f.evidence != "" {
		ceilings.Evidence = &record.Evidence{Dir: f.evidence}
	}

	cri := discover.NewCRI(f.cri)
	sources := []discover.Source{cri, discover.NewProcfs(f.proc)}

	if f.machined != "" {
		sources = slices.Insert(sources, 0, discover.Source(discover.NewMachined(f.machined, f.proc, cri)))
	}

	source := func(target resources.TargetSpec) observe.Source { return observe.NewSource(node, target) }

	for _, c := range []controller.Controller{
		&controllers.ConfigController{Path: f.config, Initial: loaded, Active: active},
		&controllers.TargetController{Node: node, Sources: sources, Events: cri, Active: active},
		&controllers.SampleController{Source: source, Feed: feed, Duration: serving.metrics.SampleDuration, Active: active},
		&controllers.ClockController{State: st, Wall: boottime.Wall},
		&controllers.NodeController{Host: node, Content: f.content, Pods: cri},
		&controllers.PolicyController{
			Feed: feed, Urgent: ceilings.Wake, State: file, Loaded: continued(saved, adopted, loaded), Seed: seedOf(node.BootID), History: serving.node.History,
			Leases: leases, Active: active,
		},
		ceilings,
	} {
		if err := engine.RegisterController(c); err != nil {
			return nil, nil, fmt.Errorf("error registering %s: %w", c.Name(), err)
		}
	}

	return engine, ceilings, nil
}

// adopt decides about the ceilings of an earlier process. Without the lock it touches none.
func adopt(node enforce.Node, lock *enforce.Lock, mode config.Mode, logger *zap.Logger) enforce.Adopted {
	logger = logger.With(zap.String("mode", string(mode)))

	// Without a hierarchy there are none.
	if err := lock.Acquire(); err != nil && !errors.Is(err, cgroup.ErrNotUnified) {
		logger.Error("failed to get the lock, ceilings of an earlier process stay as they are", zap.Error(err))

		return enforce.Adopted{Ceilings: map[string]*enforce.Ceiling{}}
	}

	adopted, err := enforce.Adopt(node, mode == config.ModeObserve, logger)
	if err != nil {
		logger.Error("failed to adopt all ceilings of an earlier process, the others stay as they are", zap.Error(err))
	}

	return adopted
}
