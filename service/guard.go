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
	"sync"
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
	"github.com/spegel-guard/spegel-guard/internal/task"
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

// startup is what the parts of the service are made from.
type startup struct {
	flags  flags
	host   host.Host
	node   enforce.Node
	lock   locker
	loaded controllers.LoadedConfig
	// orphans are attended from the first moment, and adopted are the holds of an earlier process.
	orphans *enforce.Orphans
	adopted enforce.Adopted

	state    state.State
	exported *metrics.Metrics
	logger   *zap.Logger
}

// source opens what is read of a target.
func (s *startup) source(target resources.TargetSpec) observe.Source {
	return observe.NewSource(s.host, target)
}

// locker is an enforce.Lock.
type locker interface{ Acquire() error }

// newNode is enforce.NewNode.
type newNode func(h host.Host, failed func(error)) enforce.Node

// guard runs the daemon until the context ends. What it finds of documents, files and sockets does not end it: an
// error is a fault of the program.
func guard(ctx context.Context, f flags, lock locker, node newNode, logger *zap.Logger) error {
	if !waitForLock(ctx, lock, logger) {
		return nil
	}

	st := state.WrapCore(namespaced.NewState(inmem.Build))
	s := &startup{
		flags: f, host: host.Host{Proc: f.proc, Cgroup: f.cgroup, BootID: bootID(f.proc, logger)}, lock: lock,
		loaded: controllers.LoadConfig(f.config), state: st, logger: logger,
	}

	logger.Info("starting spegel-guard", zap.String("version", api.Version), zap.String("mode", string(s.loaded.Mode)), zap.String("config", s.loaded.Source))

	feed := observe.NewFeed()
	s.exported = metrics.New(st, feed, api.Version)
	s.node = node(s.host, s.exported.Failed)
	s.orphans = enforce.NewOrphans(s.node, lock, logger.With(zap.String("mode", string(s.loaded.Mode))))
	s.adopted = s.orphans.Adopt(s.loaded.Mode == config.ModeObserve)

	return attend(ctx, s.orphans, logger, func() error { return s.run(ctx, feed) })
}

// attend calls do, and releases orphaned ceilings that have expired until do returns.
func attend(ctx context.Context, orphans *enforce.Orphans, logger *zap.Logger, do func() error) error {
	// What holds a start may hold a stop, too.
	attending, stop := context.WithCancel(context.WithoutCancel(ctx))

	var running sync.WaitGroup

	running.Go(func() { task.Run(attending, "attend to orphaned ceilings", func() { orphans.Run(attending) }) })

	defer func() {
		stop()
		running.Wait()

		// A ceiling in its hold is the next process's. CeilingController has recorded the other actions, if it ran.
		for _, action := range orphans.Stop(false) {
			logger.Info("ceiling of an earlier process", zap.String("action", action.Kind), zap.String("target", action.Target),
				zap.String("cgroup", action.Cgroup), zap.String("rule", action.Rule), zap.String("reason", action.Reason),
				zap.String("before", action.Before), zap.String("after", action.After), zap.Error(action.Err))
		}
	}()

	return do()
}

// run starts the parts of the service and waits until the context ends, or one of them fails.
func (s *startup) run(ctx context.Context, feed *observe.Feed) error {
	if err := resources.Register(ctx, s.state); err != nil {
		return err
	}

	active := &config.Active{}
	serving := newServing(s, active)

	engine, ceilings, err := newEngine(s, active, feed, serving)
	if err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)

	group.Go(func() error {
		return task.Step("run the controllers", func() error {
			// However it ends, and before the servers have: nothing may be left behind for their sake.
			err := runUntil(ctx, engine.Run, stopTimeout)

			return errors.Join(err, ceilings.Stop())
		})
	})

	serving.start(ctx, group)

	group.Go(func() error {
		task.Do("trim the memory", func() {
			// It works as well with what it holds.
			if err := trimOnceStarted(ctx); err != nil {
				s.logger.Info("failed to return memory of the start to the kernel", zap.Error(err))
			}
		})

		return nil
	})

	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}

	s.logger.Info("stopped")

	return nil
}

// stopTimeout is how long the controllers may take to end. Talos waits for ten seconds before it kills the service.
const stopTimeout = 5 * time.Second

// runUntil runs a function and returns its error, or that it did not end for some time after the context.
func runUntil(ctx context.Context, run func(context.Context) error, timeout time.Duration) error {
	ended := make(chan error, 1)

	go task.Do("run", func() { ended <- task.Step("run", func() error { return run(ctx) }) })

	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}

	select {
	case err := <-ended:
		return err
	case <-time.After(timeout):
		return fmt.Errorf("the controllers have not ended %s after the service was stopped", timeout)
	}
}

// waitForLock waits while another guard has the lock. It tells false when the context ended before that. Any other
// error leaves the lock to those who write, enforce.Orphans and CeilingController: they write nothing without it, try again
// and report it.
func waitForLock(ctx context.Context, lock locker, logger *zap.Logger) bool {
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

// newEngine registers the controllers.
func newEngine(
	s *startup, active *config.Active, feed *observe.Feed, serving *serving,
) (controller.Engine, *controllers.CeilingController, error) {
	engine, err := runtime.NewRuntime(s.state, s.logger, options.WithMetrics(false))
	if err != nil {
		return nil, nil, fmt.Errorf("error making the controller runtime: %w", err)
	}

	f := s.flags
	file := persist.File[persist.Workload]{
		Path: f.state, BootID: s.host.BootID,
		Check: func(w persist.Workload) error { return w.Check(config.SavedBounds(boottime.Now())) },
	}

	saved, err := file.Load()
	if err != nil {
		s.logger.Error("failed to load the saved decisions, starting with the others", zap.String("mode", string(s.loaded.Mode)), zap.Error(err))
	}

	leases := &enforce.Leases{}
	ceilings := &controllers.CeilingController{
		Node: s.node, Source: s.source, Feed: feed, Lock: s.lock, Orphans: s.orphans, Initial: s.loaded.Config, Leases: leases, Active: active,
		Log: serving.node.Actions, Reaction: s.exported.Reaction,
	}

	if f.evidence != "" {
		ceilings.Evidence = &record.Evidence{Dir: f.evidence}
	}

	cri := discover.NewCRI(f.cri)
	sources := []discover.Source{cri, discover.Abandoning(discover.NewProcfs(f.proc))}

	if f.machined != "" {
		sources = slices.Insert(sources, 0, discover.Source(discover.NewMachined(f.machined, f.proc, cri)))
	}

	for _, c := range []controller.Controller{
		&controllers.ConfigController{Path: f.config, Initial: s.loaded, Active: active},
		&controllers.TargetController{Node: s.host, Sources: sources, Events: cri, Active: active},
		&controllers.SampleController{Source: s.source, Feed: feed, Duration: s.exported.SampleDuration, Active: active},
		&controllers.ClockController{State: s.state, Wall: boottime.Wall},
		&controllers.NodeController{Host: s.host, Content: f.content, Pods: cri, History: serving.node.History},
		&controllers.PolicyController{
			Feed: feed, Urgent: ceilings.Wake, State: file, Loaded: continued(saved, s.adopted, s.loaded), Seed: seedOf(s.host.BootID),
			History: serving.node.History, Leases: leases, Active: active,
		},
		ceilings,
	} {
		if err := engine.RegisterController(c); err != nil {
			return nil, nil, fmt.Errorf("error registering %s: %w", c.Name(), err)
		}
	}

	return engine, ceilings, nil
}
