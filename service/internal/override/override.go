//go:build linux

// Package override is what people tell the guard to do instead of what the rules say: always for a limited
// time, remembered over a restart of the guard, and on record with who asked for it.
//
// Orders are resources like everything else; the controllers act on them.
package override

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cosi-project/runtime/pkg/state"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
	"github.com/spegel-guard/spegel-guard/service/internal/record"
)

// Errors that a caller tells apart. Wrong arguments are a config.FieldError.
var (
	// ErrNoTarget: no container on the node has the id.
	ErrNoTarget = errors.New("no such target")
	// ErrObserving: the configuration's mode does not let anything be written.
	ErrObserving = errors.New("the mode is observe, so nothing is written")
	// ErrNoConfig: there is no configuration in force yet.
	ErrNoConfig = errors.New("no configuration is in force yet")
)

// Bounds of an order's time, and of the text that comes with it.
const (
	minFor, maxFor = time.Second, 24 * time.Hour
	maxReason      = 256
)

// Order is what one person asks for.
type Order struct {
	By resources.Person
	// Reason as the person gives it.
	Reason string
	// For is how long it holds.
	For time.Duration
	// Target is the id of a target; empty is all of them.
	Target string
}

// Book holds the orders in force.
type Book struct {
	// Active is the configuration in force.
	Active *config.Active

	state  state.State
	log    *record.Log
	file   persist.File[Entry]
	logger *zap.Logger

	mu      sync.Mutex
	orders  map[string]Entry
	changed chan struct{}
}

// Given is an order that is in force, or was.
type Given struct {
	resources.OverrideSpec

	// Target is a target's id, or resources.OverridePauseID.
	Target string
}

// Entry is an order as it is remembered.
type Entry struct {
	resources.OverrideSpec
}

// IsZero implements persist.Entry.
func (e Entry) IsZero() bool { return e.Kind == "" }

// Open returns a book with what is remembered in the file and still in force, and publishes it. An error
// is about what could not be remembered; the book is good without.
func Open(ctx context.Context, st state.State, log *record.Log, file persist.File[Entry], logger *zap.Logger) (*Book, error) {
	b := &Book{state: st, log: log, file: file, logger: logger, orders: map[string]Entry{}, changed: make(chan struct{}, 1)}

	remembered, loadErr := file.Load()

	now := boottime.Now()

	for id, entry := range remembered {
		if now >= entry.UntilClock {
			continue // it ended while nobody looked
		}

		b.orders[id] = entry
		logger.Info("order of an earlier process goes on", zap.String("kind", entry.Kind), zap.String("target", id),
			zap.String("by", entry.By.Subject), zap.Duration("left", (entry.UntilClock-now).Round(time.Second)))
	}

	return b, errors.Join(loadErr, b.publish(ctx))
}

// Pause lets nothing be written on the node.
func (b *Book) Pause(ctx context.Context, order Order) ([]Given, error) {
	order.Target = "" // it is about the node

	return b.give(ctx, order, resources.OverridePause, 0)
}

// Release takes the ceilings of a target back and lets none be written.
func (b *Book) Release(ctx context.Context, order Order) ([]Given, error) {
	return b.give(ctx, order, resources.OverrideRelease, 0)
}

// Throttle puts a ceiling on a target.
func (b *Book) Throttle(ctx context.Context, order Order, millicores int64) ([]Given, error) {
	active, err := b.active(ctx)
	if err != nil {
		return nil, err
	}

	cfg, err := b.Active.Parse(active.Document)
	if err != nil {
		return nil, fmt.Errorf("failed to parse the active configuration: %w", err)
	}

	if cfg.Mode == config.ModeObserve {
		return nil, fmt.Errorf("%w: set mode: enforce", ErrObserving)
	}

	if low := cfg.Ceiling.Floor; millicores < low.Millicores || millicores > config.MaxMillicores {
		return nil, config.FieldError{
			Field: "ceiling", Value: config.CPU{Millicores: millicores}.String(),
			Allowed: fmt.Sprintf("%s (ceiling.floor) to %s cores", low, config.CPU{Millicores: config.MaxMillicores}),
		}
	}

	return b.give(ctx, order, resources.OverrideThrottle, millicores)
}

// Resume ends what people ordered, for a target or all of it. It returns what it ended.
func (b *Book) Resume(ctx context.Context, order Order) ([]Given, error) {
	if err := order.CheckReason(); err != nil {
		return nil, err
	}

	b.mu.Lock()
	defer b.mu.Unlock()

	next := maps.Clone(b.orders)

	var (
		ended []Given
		done  []resources.GuardActionSpec
	)

	for _, id := range slices.Sorted(maps.Keys(b.orders)) {
		if order.Target != "" && order.Target != id {
			continue
		}

		ended = append(ended, Given{Target: id, OverrideSpec: next[id].OverrideSpec})
		done = append(done, b.action(ctx, resources.ActionResume, id, order, "ends "+next[id].Kind+sentence(order.Reason)))

		delete(next, id)
	}

	return ended, b.replace(ctx, next, done)
}

// Captured records that a person had evidence kept: where it is, or why there is none, or not all of it.
func (b *Book) Captured(ctx context.Context, order Order, path string, failure error) error {
	action := b.action(ctx, resources.ActionCapture, order.Target, order, cmp.Or(order.Reason, "asked for"))
	action.Evidence = path

	if failure != nil {
		action.Error = failure.Error()
	}

	return b.log.Record(context.WithoutCancel(ctx), action)
}

// Run ends the orders whose time is over, until the context does.
func (b *Book) Run(ctx context.Context) error {
	for {
		var timer <-chan time.Time

		if left, ok := b.left(); ok {
			timer = time.After(left)
		}

		select {
		case <-ctx.Done():
			return nil
		case <-b.changed:
			continue
		case <-timer:
		}

		if err := b.expire(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// left is the time until the next order ends.
func (b *Book) left() (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()

	least, now := maxFor, boottime.Now()

	for _, entry := range b.orders {
		least = min(least, max(0, entry.UntilClock-now))
	}

	return least, len(b.orders) > 0
}

func (b *Book) expire(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()

	next, now := maps.Clone(b.orders), boottime.Now()

	var done []resources.GuardActionSpec

	for id, entry := range b.orders {
		if now < entry.UntilClock {
			continue
		}

		delete(next, id)

		done = append(done, b.action(ctx, resources.ActionExpire, id, Order{}, "the time of the "+entry.Kind+" is over"))
	}

	return b.replace(ctx, next, done)
}

// give writes an order down for its targets.
func (b *Book) give(ctx context.Context, order Order, kind string, millicores int64) ([]Given, error) {
	if order.For < minFor || order.For > maxFor {
		return nil, config.FieldError{Field: "for", Value: order.For.String(), Allowed: fmt.Sprintf("a duration of %s..%s", minFor, maxFor)}
	}

	if err := order.CheckReason(); err != nil {
		return nil, err
	}

	ids := []string{resources.OverridePauseID}

	if kind != resources.OverridePause {
		var err error

		if ids, err = b.targets(ctx, order.Target); err != nil {
			return nil, err
		}
	}

	b.mu.Lock()
	defer b.mu.Unlock()

	now := boottime.Now()
	entry := Entry{OverrideSpec: resources.OverrideSpec{
		Kind: kind, CeilingMillicores: millicores, Since: boottime.Wall(now), Until: boottime.Wall(now + order.For),
		SinceClock: now, UntilClock: now + order.For, By: order.By, Reason: order.Reason,
	}}

	next := maps.Clone(b.orders)

	var (
		given []Given
		done  []resources.GuardActionSpec
	)

	for _, id := range ids {
		next[id] = entry
		given = append(given, Given{Target: id, OverrideSpec: entry.OverrideSpec})

		action := b.action(ctx, actionOf(kind), id, order, fmt.Sprintf("%s for %s%s", described(entry.OverrideSpec), order.For, sentence(order.Reason)))
		action.Until = entry.Until
		done = append(done, action)
	}

	return given, b.replace(ctx, next, done)
}

// replace remembers, records and publishes, in this order: what takes effect is on record.
func (b *Book) replace(ctx context.Context, next map[string]Entry, done []resources.GuardActionSpec) error {
	// The caller may be gone before it is done; half of it would be worse than all of it.
	ctx = context.WithoutCancel(ctx)

	if err := b.file.Save(next); err != nil {
		b.logger.Error("orders are not remembered over a restart", zap.Error(err))
	}

	if err := b.log.Record(ctx, done...); err != nil {
		return err
	}

	b.orders = next

	select {
	case b.changed <- struct{}{}:
	default:
	}

	return b.publish(ctx)
}
