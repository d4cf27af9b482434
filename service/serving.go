//go:build linux

package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

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

// serving is the API, and what people order by it. Guarding does not depend on it.
type serving struct {
	node api.Node
	log  *actions.Log
	// source fills identities; without one there is no TCP.
	source     source
	identities *identity.Store
	options    []api.Options
	logger     *zap.Logger
}

func newServing(f flags, node enforce.Node, cfg config.API, st state.State, logger *zap.Logger) (*serving, error) {
	log := actions.New(st, logger)

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
		node: api.Node{State: st, Book: book, History: &history.Store{}, Capture: capturer.Capture, Doctor: f.doctor(st, nil).Checks},
		log:  log, options: []api.Options{{Socket: f.socket}}, logger: logger,
	}

	switch cfg.TLS.Source {
	case config.TLSNone:
		logger.Info("API on TCP is off: api.tls.source is none")

		return s, nil
	case config.TLSFiles:
		files := identity.Files{Paths: cfg.TLS}

		// Wrong ones are a mistake in the configuration, as anything else in it is.
		if _, err := files.Load(); err != nil {
			return nil, err
		}

		s.source = files
	default:
		if f.machined == "" {
			return nil, errors.New("api.tls.source is talos, but there is no machined to ask (flag machined)")
		}

		s.source = identity.Talos{Socket: f.machined}
	}

	s.identities = &identity.Store{}
	s.node.Doctor = f.doctor(st, s.identities).Checks
	s.options = append(s.options, api.Options{Listen: cfg.Listen, Identities: s.identities, Forward: cfg.Forward})

	return s, nil
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

	if s.source == nil {
		return
	}

	follow := func() error { return s.source.Run(ctx, s.identities, func(err error) { s.report(ctx, err) }) }

	group.Go(func() error { return s.again(ctx, "API's certificates", follow) })
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

// report says how it stands with the API's certificates, for whoever still can see it.
func (s *serving) report(ctx context.Context, failure error) {
	reason, message := resources.ReasonOK, ""

	if failure != nil {
		reason, message = resources.ReasonNoCertificate, failure.Error()+"; what was there before stays in force"

		s.logger.Warn("API's certificates", zap.Error(failure))
	} else {
		s.logger.Info("API's certificates are in force")
	}

	err := safe.StateModify(ctx, s.node.State, resources.NewCondition(resources.ConditionAPI), func(r *resources.Condition) error {
		r.TypedSpec().Set(reason, message)

		return nil
	})
	if err != nil && ctx.Err() == nil {
		s.logger.Error("error setting a condition", zap.Error(err))
	}
}
