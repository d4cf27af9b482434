// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"fmt"

	"github.com/cosi-project/runtime/pkg/resource"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/identity"
)

// source updates a store with new certificates until the context ends, and reports each change and each new error.
type source interface {
	Run(ctx context.Context, store *identity.Store, report func(error)) error
}

// certificates are the certificates of one TLS section of the configuration.
type certificates struct {
	source source
	store  *identity.Store
	// condition that reports their problems.
	condition resource.ID
}

// follow returns the store with the certificates of a TLS section; nil without TLS. Field is the section's name.
func (s *serving) follow(field string, cfg config.TLS, condition resource.ID) *identity.Store {
	if known, ok := s.certificates[cfg]; ok {
		return known.store
	}

	c := certificates{store: &identity.Store{}, condition: condition}

	switch {
	case cfg.Source == config.TLSNone:
		return nil
	case cfg.Source == config.TLSFiles:
		c.source = identity.Files{Paths: cfg, Field: field}
	case s.flags.machined == "":
		c.source = noSource{fmt.Errorf("failed to get certificates: %s.source is talos and the flag -machined is empty", field)}
	default:
		c.source = identity.Talos{Socket: s.flags.machined}
	}

	s.certificates[cfg] = c

	return c.store
}

// reportCertificates returns a function that logs the state of certificates and reports it in their condition.
func (s *serving) reportCertificates(ctx context.Context, c certificates) func(error) {
	report := s.conditions.reporter(ctx, c.condition, "certificates", resources.ReasonNoCertificate)

	return func(err error) {
		if err == nil {
			s.logger.Info("certificates are in force", zap.String("for", c.condition))
		} else {
			consequence := "the previous certificates stay in force"
			if current, _ := c.store.Current(); current == nil {
				consequence = "there is no TCP listener without certificates"
			}

			err = fmt.Errorf("%w; %s", err, consequence)

			s.logger.Warn("failed to update certificates", zap.String("for", c.condition), zap.Error(err))
		}

		report(err)
	}
}

// noSource never has certificates.
type noSource struct{ err error }

// Run implements source.
func (n noSource) Run(ctx context.Context, _ *identity.Store, report func(error)) error {
	report(n.err)
	<-ctx.Done()

	return nil
}
