// SPDX-License-Identifier: MPL-2.0

// Package auth identifies the caller of a request and checks its roles.
package auth

import (
	"context"

	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc/metadata"

	"github.com/spegel-guard/spegel-guard/internal/talos"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Metadata by which a guard names the caller of a request that it forwards. It is accepted from impersonators only,
// as Talos' roles are.
const (
	subjectKey     = "spegel-guard-subject-bin" // of any characters
	fingerprintKey = "spegel-guard-fingerprint"
	fromKey        = "spegel-guard-from"
)

// Caller is who makes a request.
type Caller struct {
	Person resources.Person
	Roles  role.Set
	// Forwarded reports whether another guard forwarded the request.
	Forwarded bool
}

// Key identifies the caller where its streams are counted.
func (c Caller) Key() string { return c.Person.Subject + " " + c.Person.Fingerprint }

// Metadata returns the metadata that names the caller to the guard that the request is forwarded to.
func (c Caller) Metadata() metadata.MD {
	md := metadata.Pairs(subjectKey, c.Person.Subject, fingerprintKey, c.Person.Fingerprint, fromKey, c.Person.From)
	md.Set(talos.RoleMetadataKey, c.Roles.Strings()...)

	return md
}

type callerKey struct{}

// NewContext returns a context with the caller of a request.
func NewContext(ctx context.Context, caller Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, caller)
}

// FromContext returns the caller of a request; the zero value without one.
func FromContext(ctx context.Context) Caller {
	caller, _ := ctx.Value(callerKey{}).(Caller)

	return caller
}
