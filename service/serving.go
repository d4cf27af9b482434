//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/state"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/api"
	"github.com/spegel-guard/spegel-guard/service/internal/controllers"
	"github.com/spegel-guard/spegel-guard/service/internal/doctor"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
	"github.com/spegel-guard/spegel-guard/service/internal/metrics"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// selinux is where the kernel says whether SELinux enforces; the same in every container.
const selinux = "/sys/fs/selinux"

// apiRetry is how long a server that failed waits.
const apiRetry = 10 * time.Second

// source keeps the API's identity up to date.
type source interface {
	Run(ctx context.Context, store *identity.Store, report func(error)) error
}

// certificates are an identity that is kept up to date.
type certificates struct {
	source source
	store  *identity.Store
	// condition that says how it stands with them.
	condition resource.ID
}

// serving is the API, what people order by it, and the metrics. Guarding does not depend on it.
type serving struct {
	node    api.Node
	log     *record.Log
	options []api.Options
	metrics *metrics.Metrics
	// exporting is how the metrics are served; nil when they are not.
	exporting *metrics.Options
	// certificates by what configures them: the same ones are followed once.
	certificates map[config.TLS]certificates
	conditions   *conditions
	// machined is its socket; empty when it is not asked.
	machined string
	logger   *zap.Logger
}

func newServing(f flags, node enforce.Node, cfg config.Config, st state.State, exported *metrics.Metrics, logger *zap.Logger) *serving {
	log := record.NewLog(st, logger, exported.Count)

	// It has no end of its own: orders are taken until the process ends.
	book, err := override.Open(context.Background(), st, log, persist.File[override.Entry]{Path: f.overrides(), BootID: node.BootID}, logger)
	if err != nil {
		logger.Error("earlier orders are forgotten", zap.Error(err))
	}

	capturer := controllers.Capturer{Host: node.Host, State: st}
	if f.captures() != "" {
		capturer.Store = &record.Evidence{Dir: f.captures()}
	}

	s := &serving{
		node: api.Node{State: st, Overrides: book, History: &record.History{}, Name: &identity.NodeName{}, Capture: capturer.Capture},
		log:  log, options: []api.Options{{Socket: f.socket}}, metrics: exported, certificates: map[config.TLS]certificates{}, logger: logger,
		conditions: &conditions{state: st, logger: logger}, machined: f.machined,
	}

	identities := s.follow(f, "api.tls", cfg.API.TLS, resources.ConditionAPI)
	s.node.Doctor = f.doctor(st, identities).Checks

	if identities == nil {
		logger.Info("API on TCP is off: api.tls.source is none")
	} else {
		s.options = append(s.options, api.Options{Listen: cfg.API.Listen, Identities: identities, Forward: cfg.API.Forward})
	}

	if cfg.Metrics.Listen == "" {
		return s
	}

	s.exporting = &metrics.Options{
		Listen: cfg.Metrics.Listen, Identities: s.follow(f, "metrics.tls", cfg.Metrics.TLS, resources.ConditionMetrics),
		Roles: cfg.Metrics.TLS.Source == config.TLSTalos,
	}

	return s
}

// follow makes the store that a configuration's certificates are in; nil without TLS.
func (s *serving) follow(f flags, field string, cfg config.TLS, condition resource.ID) *identity.Store {
	if known, ok := s.certificates[cfg]; ok {
		return known.store
	}

	var from source

	switch {
	case cfg.Source == config.TLSNone:
		return nil
	case cfg.Source == config.TLSFiles:
		from = identity.Files{Paths: cfg, Field: field}
	case f.machined == "":
		from = noSource{fmt.Errorf("%s.source is talos, but there is no machined to ask (flag machined)", field)}
	default:
		from = identity.Talos{Socket: f.machined}
	}

	store := &identity.Store{}
	s.certificates[cfg] = certificates{source: from, store: store, condition: condition}

	return store
}

// noSource never has an identity.
type noSource struct{ err error }

// Run implements source.
func (n noSource) Run(ctx context.Context, _ *identity.Store, report func(error)) error {
	report(n.err)
	<-ctx.Done()

	return nil
}

// doctor knows where the guard's own things are.
func (f flags) doctor(st state.State, identities *identity.Store) doctor.Doctor {
	d := doctor.Doctor{
		Cgroup: f.cgroup, SELinux: selinux, CRI: f.cri, Machined: f.machined, State: st, Identities: identities,
	}

	if f.memory != "" {
		d.Run = filepath.Dir(f.memory)
	}

	return d
}

// start serves until the context ends: side by side, so that what cannot be served does not take the rest with it.
func (s *serving) start(ctx context.Context, group *errgroup.Group) {
	for _, opts := range s.options {
		report := s.reporter(ctx, resources.ConditionAPI, "socket")
		if opts.Socket == "" {
			report = s.reporter(ctx, resources.ConditionAPI, "listener")
		}

		opts.Served = func() { report(nil) }

		group.Go(func() error {
			return s.again(ctx, "API", report, func() error { return api.Serve(ctx, s.node, opts, s.logger) })
		})
	}

	group.Go(func() error {
		return s.again(ctx, "ending of orders", nil, func() error { return s.node.Overrides.Run(ctx) })
	})

	if s.machined != "" {
		group.Go(func() error {
			return s.again(ctx, "following of the hostname", nil, func() error { return s.node.Name.Run(ctx, s.machined, 0, s.logger) })
		})
	}

	if s.exporting != nil {
		report := s.reporter(ctx, resources.ConditionMetrics, "listener")
		s.exporting.Served = func() { report(nil) }

		group.Go(func() error {
			return s.again(ctx, "serving of metrics", report, func() error { return s.metrics.Serve(ctx, *s.exporting, s.logger) })
		})
	}

	for _, c := range s.certificates {
		report := func(err error) { s.certificate(ctx, c, err) }

		group.Go(func() error {
			return s.again(ctx, "following of certificates", report, func() error { return c.source.Run(ctx, c.store, report) })
		})
	}
}

// again does something until the context ends, and tries it again when it fails. Each new error is logged, and
// reported where there is somebody to report to.
func (s *serving) again(ctx context.Context, what string, report func(error), do func() error) error {
	for last := ""; ; {
		if err := do(); err != nil && ctx.Err() == nil {
			if err.Error() != last {
				s.logger.Error(what+" failed, it is tried again", zap.Duration("after", apiRetry), zap.Error(err))
			}

			last = err.Error()

			if report != nil {
				report(err)
			}
		}

		select {
		case <-ctx.Done():
			return nil
		case <-time.After(apiRetry):
		}
	}
}
