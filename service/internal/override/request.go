// SPDX-License-Identifier: MPL-2.0

//go:build linux

package override

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/internal/printable"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// Errors that callers distinguish. An invalid argument is a config.FieldError.
var (
	// ErrNoTarget means that the node has no such target.
	ErrNoTarget = errors.New("no such target")
	// ErrObserving means that the mode of the configuration allows no ceiling.
	ErrObserving = errors.New("no ceiling is written in mode observe")
	// ErrNoConfig means that no configuration is in force yet.
	ErrNoConfig = errors.New("no configuration is in force yet")
)

const (
	minDuration, maxDuration = time.Second, 24 * time.Hour
	// maxReason in bytes.
	maxReason = 256
)

// Request is what a person asks for.
type Request struct {
	By resources.Person
	// Reason is the person's own text, one printable line of at most 256 bytes.
	Reason string
	// For is how long the override is in force, 1s to 24h. Resume ignores it.
	For time.Duration
	// Target is the id of a target, or empty for all targets. Pause ignores it.
	Target string
}

// CheckReason returns a config.FieldError if the reason is too long, or has characters that a terminal does not print: it is
// logged, and listed by every client.
func (r Request) CheckReason() error {
	if len(r.Reason) <= maxReason && !strings.ContainsFunc(r.Reason, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return nil
	}

	return config.FieldError{Field: "reason", Value: printable.Clip(printable.Line(r.Reason), 32), Allowed: fmt.Sprintf("printable text on one line, of at most %d bytes", maxReason)}
}

func (r Request) check() error {
	if r.For < minDuration || r.For > maxDuration {
		return config.FieldError{Field: "for", Value: duration.Exact(r.For), Allowed: fmt.Sprintf("a duration of %s..%s", duration.Exact(minDuration), duration.Exact(maxDuration))}
	}

	return r.CheckReason()
}

// NoTarget returns ErrNoTarget with the id that was requested.
func NoTarget(id string) error { return fmt.Errorf("%w: %q", ErrNoTarget, id) }

// checkCeiling checks a ceiling against the configuration in force.
func (m *Manager) checkCeiling(ctx context.Context, millicores int64) error {
	active, err := safe.StateGetByID[*resources.GuardConfig](ctx, m.state, resources.GuardConfigID)
	if state.IsNotFoundError(err) || err == nil && active.TypedSpec().Document == "" {
		return ErrNoConfig
	}

	if err != nil {
		return fmt.Errorf("failed to read the configuration in force: %w", err)
	}

	cfg, err := m.active.Parse(active.TypedSpec().Document)
	if err != nil {
		return fmt.Errorf("failed to parse the configuration in force: %w", err)
	}

	if cfg.Mode == config.ModeObserve {
		return fmt.Errorf("%w, set mode: enforce", ErrObserving)
	}

	if floor := cfg.Ceiling.Floor; millicores < floor.Millicores || millicores > config.MaxMillicores {
		return config.FieldError{
			Field: "ceiling", Value: config.CPU{Millicores: millicores}.String(),
			Allowed: fmt.Sprintf("%s (ceiling.floor) to %s cores", floor, config.CPU{Millicores: config.MaxMillicores}),
		}
	}

	return nil
}

// targets returns the ids of the node's targets, or only the id itself if it is not empty.
func (m *Manager) targets(ctx context.Context, id string) ([]string, error) {
	list, err := safe.StateListAll[*resources.Target](ctx, m.state)
	if err != nil {
		return nil, fmt.Errorf("failed to list targets: %w", err)
	}

	var ids []string

	for target := range list.All() {
		ids = append(ids, target.Metadata().ID())
	}

	slices.Sort(ids)

	switch {
	case len(ids) == 0:
		return nil, fmt.Errorf("%w: the node has none", ErrNoTarget)
	case id == "":
		return ids, nil
	case slices.Contains(ids, id):
		return []string{id}, nil
	default:
		return nil, fmt.Errorf("%w, the node has %s", NoTarget(id), strings.Join(ids, ", "))
	}
}
