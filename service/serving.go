// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/task"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/api"
	"github.com/spegel-guard/spegel-guard/service/internal/controllers"
	"github.com/spegel-guard/spegel-guard/service/internal/doctor"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
	"github.com/spegel-guard/spegel-guard/service/internal/metrics"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// selinux is the root of selinuxfs, the same in every container.
const selinux = "/sys/fs/selinux"

// retryInterval is the time until a server that failed is started again.
const retryInterval = 10 * time.Second

// serving is the API, the overrides that people set with it, and the metrics. The rules and the ceilings do not depend
// on it.
type serving struct {
	node      api.Node
	listeners []api.Options
	metrics   *metrics.Metrics
	// exporter is how the metrics are served, nil if they are not.
	exporter *metrics.Options
	// certificates by the section of the configuration: equal sections share theirs.
	certificates map[config.TLS]certificates
	conditions   *conditions
	// past is where the history is saved.
	past   record.HistoryFile
	flags  flags
	logger *zap.Logger
}

func newServing(start *startup, active *config.Active) *serving {
	f, cfg, st, logger := start.flags, start.loaded.Config, start.state, start.logger
	actions := record.NewActions(st, logger, start.exported.Count)

	overrides, err := override.Open(
		context.Background(), st, actions, active, override.File{Path: f.overrides(), BootID: start.host.BootID}, boottime.Now, logger,
	)
	if err != nil {
		logger.Error("failed to load saved overrides or to publish them, starting with the others", zap.Error(err))
	}

	capturer := &controllers.Capturer{Source: start.source, State: st, Active: active}
	if f.captures() != "" {
		capturer.Store = &record.Evidence{Dir: f.captures()}
	}

	s := &serving{
		node: api.Node{
			State: st, Overrides: overrides, Actions: actions, History: &record.History{}, Name: &identity.NodeName{}, Capture: capturer.Capture,
		},
		listeners: []api.Options{{Socket: f.socket}}, metrics: start.exported, certificates: map[config.TLS]certificates{},
		conditions: &conditions{state: st, logger: logger}, flags: f, logger: logger,
	}

	s.past = record.HistoryFile{Path: f.history(), BootID: start.host.BootID}

	if err := s.node.History.Restore(s.past, boottime.Now()); err != nil {
		logger.Error("failed to load the saved history, starting with the rest", zap.Error(err))
	}

	identities := s.follow("api.tls", cfg.API.TLS, resources.ConditionAPI)
	s.node.Doctor = doctor.Doctor{
		Cgroup: f.cgroup, SELinux: selinux, CRI: f.cri, Machined: f.machined, Saved: sibling(f.state, ""), State: st, Identities: identities,
	}.Checks

	if identities == nil {
		logger.Info("API is served on the unix socket only, api.tls.source is none")
	} else {
		s.listeners = append(s.listeners, api.Options{Listen: cfg.API.Listen, Identities: identities, Forward: cfg.API.Forward})
	}

	if cfg.Metrics.Listen != "" {
		s.exporter = &metrics.Options{
			Listen: cfg.Metrics.Listen, Identities: s.follow("metrics.tls", cfg.Metrics.TLS, resources.ConditionMetrics),
			Roles: cfg.Metrics.TLS.Source == config.TLSTalos,
		}
	}

	return s
}

// start starts the servers, which run until the context ends. Each fails and is retried on its own.
func (s *serving) start(ctx context.Context, group *errgroup.Group) {
	for _, opts := range s.listeners {
		listener := "listener"
		if opts.Socket != "" {
			listener = "socket"
		}

		report := s.conditions.reporter(ctx, resources.ConditionAPI, listener, resources.ReasonNotServed)
		opts.Served = func() { report(nil) }

		s.keep(ctx, group, "serve the API", report, func() error { return api.Serve(ctx, s.node, opts, s.logger) })
	}

	if s.exporter != nil {
		report := s.conditions.reporter(ctx, resources.ConditionMetrics, "listener", resources.ReasonNotServed)
		s.exporter.Served = func() { report(nil) }

		s.keep(ctx, group, "serve the metrics", report, func() error { return s.metrics.Serve(ctx, *s.exporter, s.logger) })
	}

	for _, c := range s.certificates {
		report := s.reportCertificates(ctx, c)

		s.keep(ctx, group, "follow the certificates", report, func() error { return c.source.Run(ctx, c.store, report) })
	}

	ignore := func(error) {}

	s.keep(ctx, group, "save the history", ignore, func() error { return s.node.History.Run(ctx, s.past, boottime.Now) })
	s.keep(ctx, group, "expire and publish overrides", ignore, func() error { return s.node.Overrides.Run(ctx) })

	if s.flags.machined != "" {
		s.keep(ctx, group, "follow the hostname", ignore, func() error { return s.node.Name.Run(ctx, s.flags.machined, 0, s.logger) })
	}
}

// keep runs do in the group until the context ends, and again after each failure. Each failure is reported, and logged
// if it differs from the one before.
func (s *serving) keep(ctx context.Context, group *errgroup.Group, what string, report func(error), do func() error) {
	retry := func() {
		for last := ""; ctx.Err() == nil; {
			if err := task.Step(what, do); err != nil && ctx.Err() == nil {
				if err.Error() != last {
					s.logger.Error("failed to "+what+", retrying", zap.Duration("after", retryInterval), zap.Error(err))
				}

				last = err.Error()

				report(err)
			}

			select {
			case <-ctx.Done():
			case <-time.After(retryInterval):
			}
		}
	}

	group.Go(func() error {
		task.Run(ctx, what, retry)

		return nil
	})
}
