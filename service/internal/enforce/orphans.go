// SPDX-License-Identifier: MPL-2.0

//go:build linux

package enforce

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
)

const (
	// expireInterval is how often orphaned ceilings are checked.
	expireInterval = time.Second
	// searchInterval is the time until another search for journals after one that was not complete.
	searchInterval = time.Minute
)

// ErrNotAdopted says that cgroups may have a ceiling of an earlier process that is neither adopted nor released.
var ErrNotAdopted = errors.New("failed to adopt all ceilings of an earlier process")

// Orphans are the ceilings without a target: those of an earlier process until their target is found, and those that could
// not be released when their target ended. They depend on no other part of the service: each is released once its time is
// over, whatever else starts, waits or has failed. Make them with NewOrphans. Their methods can be called concurrently.
type Orphans struct {
	node   Node
	lock   interface{ Acquire() error }
	logger *zap.Logger

	mu       sync.Mutex
	byCgroup map[string]*Ceiling
	// attached are the targets that have a cgroup, by its path: its ceiling is theirs.
	attached map[string]Target
	actions  []Action
	// incomplete is set until the journals of all cgroups were read; searchAt is the next attempt, err why the last failed.
	incomplete bool
	// observe releases what a later search finds, as the first one did.
	observe  bool
	searchAt time.Duration
	err      error
	stopped  bool
	// changed ends the wait of Run.
	changed chan struct{}
}

// NewOrphans returns those of a node, none yet. Nothing is adopted without the lock.
func NewOrphans(node Node, lock interface{ Acquire() error }, logger *zap.Logger) *Orphans {
	return &Orphans{
		node: node, lock: lock, logger: logger, byCgroup: map[string]*Ceiling{}, attached: map[string]Target{}, changed: make(chan struct{}, 1),
	}
}

// Adopt decides about the ceilings of an earlier process, as the function Adopt does, and returns the holds that continue.
// What fails is tried again by Run.
func (o *Orphans) Adopt(observe bool) Adopted {
	o.mu.Lock()
	defer o.mu.Unlock()

	o.observe = observe

	return o.search(boottime.Now())
}

// Run releases each ceiling whose time is over, until the context ends.
func (o *Orphans) Run(ctx context.Context) {
	for {
		var timer <-chan time.Time

		if wait, ok := o.Check(boottime.Now()); ok {
			timer = time.After(wait)
		}

		select {
		case <-ctx.Done():
			return
		case <-o.changed:
		case <-timer:
		}
	}
}

// Check releases each ceiling whose time is over, and searches again for journals if a search is due. It returns the time
// until the next check, and false if none is needed.
func (o *Orphans) Check(now time.Duration) (time.Duration, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()

	if o.incomplete && now >= o.searchAt && !o.stopped {
		o.search(now)
	}

	for path, orphan := range o.byCgroup {
		o.actions = append(o.actions, orphan.Expire(now)...)

		if !orphan.InForce() {
			orphan.Close()
			delete(o.byCgroup, path)
		}
	}

	switch {
	case len(o.byCgroup) > 0:
		return expireInterval, true
	case o.incomplete && !o.stopped:
		return max(expireInterval, o.searchAt-now), true
	default:
		return 0, false
	}
}

// search adopts the ceilings on cgroups that are not known yet.
func (o *Orphans) search(now time.Duration) Adopted {
	node := o.node
	node.Find = func() ([]string, error) {
		paths, err := o.node.Find()

		return slices.DeleteFunc(paths, o.knows), err
	}

	adopted := Adopted{}

	err := o.lock.Acquire()
	if err == nil {
		adopted, err = Adopt(node, o.observe, o.logger)
	}

	maps.Copy(o.byCgroup, adopted.Ceilings)
	o.actions = append(o.actions, adopted.Actions...)
	o.incomplete, o.searchAt = err != nil, now+searchInterval

	switch {
	case errors.Is(err, cgroup.ErrNotUnified):
		err = nil // no hierarchy, no ceilings; TargetController reports it
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrNotAdopted, err)

		if o.err == nil || o.err.Error() != err.Error() {
			o.logger.Error("failed to adopt or release all ceilings of an earlier process", zap.Duration("retryAfter", searchInterval), zap.Error(err))
		}
	}

	o.err = err

	return adopted
}

// knows reports whether a cgroup has a target, or an orphaned ceiling.
func (o *Orphans) knows(path string) bool {
	_, attached := o.attached[path]

	return attached || o.byCgroup[path] != nil
}

// Attach gives a target its cgroup until Detach, and returns the orphaned ceiling on it, nil for none. It returns false while another
// target has the cgroup. A cgroup with another inode is another one: that target's own is gone.
func (o *Orphans) Attach(target Target) (*Ceiling, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()

	owner, attached := o.attached[target.Cgroup]
	if attached && owner.ID != target.ID && owner.CgroupInode == target.CgroupInode {
		return nil, false
	}

	orphan := o.byCgroup[target.Cgroup]
	delete(o.byCgroup, target.Cgroup)
	o.attached[target.Cgroup] = target

	return orphan, true
}

// Detach takes the ceiling of a target that has ended. If it is in force it is released as soon as that succeeds. Another target that
// has attached the path since then keeps it.
func (o *Orphans) Detach(ceiling *Ceiling) {
	o.mu.Lock()
	defer o.mu.Unlock()

	path := ceiling.Target().Cgroup

	if o.attached[path] == ceiling.Target() {
		delete(o.attached, path)
	}

	if !ceiling.InForce() {
		ceiling.Close()

		return
	}

	o.byCgroup[path] = ceiling

	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// Actions returns what was done since the last call.
func (o *Orphans) Actions() []Action {
	o.mu.Lock()
	defer o.mu.Unlock()

	actions := o.actions
	o.actions = nil

	return actions
}

// Err is why a ceiling cannot be adopted or released; nil when nothing prevents it.
func (o *Orphans) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()

	for _, path := range slices.Sorted(maps.Keys(o.byCgroup)) {
		if err := o.byCgroup[path].Err(); err != nil {
			return err
		}
	}

	return o.err
}

// Stop closes every ceiling: see Ceiling.Stop. It returns all actions since the last call of Actions.
func (o *Orphans) Stop(release bool) []Action {
	o.mu.Lock()
	defer o.mu.Unlock()

	actions := o.actions

	for _, orphan := range o.byCgroup {
		actions = append(actions, orphan.Stop(release)...)
	}

	clear(o.byCgroup)

	o.actions, o.stopped = nil, true

	return actions
}
