//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/actions"
	"github.com/spegel-guard/spegel-guard/service/api"
	"github.com/spegel-guard/spegel-guard/service/controllers"
	"github.com/spegel-guard/spegel-guard/service/doctor"
	"github.com/spegel-guard/spegel-guard/service/enforce"
	"github.com/spegel-guard/spegel-guard/service/evidence"
	"github.com/spegel-guard/spegel-guard/service/history"
	"github.com/spegel-guard/spegel-guard/service/identity"
	"github.com/spegel-guard/spegel-guard/service/memory"
	"github.com/spegel-guard/spegel-guard/service/metrics"
	"github.com/spegel-guard/spegel-guard/service/override"
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
	log     *actions.Log
	options []api.Options
	metrics *metrics.Metrics
	// exporting is how the metrics are served; nil when they are not.
	exporting *metrics.Options
	// certificates by what configures them: the same ones are followed once.
	certificates map[config.TLS]certificates
	logger       *zap.Logger
}

func newServing(f flags, node enforce.Node, cfg config.Config, st state.State, exported *metrics.Metrics, logger *zap.Logger) (*serving, error) {
	log := actions.New(st, logger, exported.Count)

	// It has no end of its own: orders are taken until the process ends.
	book, err := override.Open(context.Background(), st, log, memory.File[override.Entry]{Path: f.overrides(), BootID: node.BootID}, logger)
	if err != nil {
		logger.Error("earlier orders are forgotten", zap.Error(err))
	}

	capturer := controllers.Capturer{Paths: controllers.Paths{Proc: f.proc, Cgroup: f.cgroup}, State: st}
	if f.captures() != "" {
		capturer.Store = &evidence.Store{Dir: f.captures()}
	}

	s := &serving{
		node: api.Node{State: st, Book: book, History: &history.Store{}, Capture: capturer.Capture},
		log:  log, options: []api.Options{{Socket: f.socket}}, metrics: exported, certificates: map[config.TLS]certificates{}, logger: logger,
	}

	identities, err := s.follow(f, "api.tls", cfg.API.TLS, resources.ConditionAPI)
	if err != nil {
		return nil, err
	}

	s.node.Doctor = f.doctor(st, identities).Checks

	if identities == nil {
		logger.Info("API on TCP is off: api.tls.source is none")
	} else {
		s.options = append(s.options, api.Options{Listen: cfg.API.Listen, Identities: identities, Forward: cfg.API.Forward})
	}

	if cfg.Metrics.Listen == "" {
		return s, nil
	}

	if identities, err = s.follow(f, "metrics.tls", cfg.Metrics.TLS, resources.ConditionMetrics); err != nil {
		return nil, err
	}

	s.exporting = &metrics.Options{
		Listen: cfg.Metrics.Listen, Identities: identities, Roles: cfg.Metrics.TLS.Source == config.TLSTalos,
	}

	return s, nil
}

// follow makes the store that a configuration's certificates are in; nil without TLS.
func (s *serving) follow(f flags, field string, cfg config.TLS, condition resource.ID) (*identity.Store, error) {
	if known, ok := s.certificates[cfg]; ok {
		return known.store, nil
	}

	store := &identity.Store{}

	switch cfg.Source {
	case config.TLSNone:
		return nil, nil
	case config.TLSFiles:
		files := identity.Files{Paths: cfg, Field: field}

		// Wrong ones are a mistake in the configuration, as anything else in it is.
		if _, err := files.Load(); err != nil {
			return nil, err
		}

		s.certificates[cfg] = certificates{source: files, store: store, condition: condition}
	default:
		if f.machined == "" {
			return nil, fmt.Errorf("%s.source is talos, but there is no machined to ask (flag machined)", field)
		}

		s.certificates[cfg] = certificates{source: identity.Talos{Socket: f.machined}, store: store, condition: condition}
	}

	return store, nil
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
		group.Go(func() error {
			return s.again(ctx, "API", func() error { return api.Serve(ctx, s.node, opts, s.logger) })
		})
	}

	group.Go(func() error { return s.again(ctx, "ending of orders", func() error { return s.node.Book.Run(ctx) }) })

	if s.exporting != nil {
		group.Go(func() error {
			return s.again(ctx, "serving of metrics", func() error { return s.metrics.Serve(ctx, *s.exporting, s.logger) })
		})
	}

	for _, c := range s.certificates {
		follow := func() error { return c.source.Run(ctx, c.store, func(err error) { s.report(ctx, c.condition, err) }) }

		group.Go(func() error { return s.again(ctx, "following of certificates", follow) })
	}
}

// again does something until the context ends, and tries it again when it fails.
func (s *serving) again(ctx context.Context, what string, do func() error) error {
	for {
		if err := do(); err != nil && ctx.Err() == nil {
			s.logger.Error(what+" failed, it is tried again", zap.Duration("after", apiRetry), zap.Error(err))
		}

		select {
		case <-ctx.Done():
			return nil
		case <-time.After(apiRetry):
		}
	}
}

// report says how it stands with certificates, for whoever still can see it.
func (s *serving) report(ctx context.Context, condition resource.ID, failure error) {
	reason, message := resources.ReasonOK, ""

	if failure != nil {
		reason, message = resources.ReasonNoCertificate, failure.Error()+"; what was there before stays in force"

		s.logger.Warn("certificates", zap.String("for", condition), zap.Error(failure))
	} else {
		s.logger.Info("certificates are in force", zap.String("for", condition))
	}

	err := safe.StateModify(ctx, s.node.State, resources.NewCondition(condition), func(r *resources.Condition) error {
		r.TypedSpec().Set(reason, message)

		return nil
	})
	if err != nil && ctx.Err() == nil {
		s.logger.Error("error setting a condition", zap.Error(err))
	}
}
