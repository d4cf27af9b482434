// SPDX-License-Identifier: MPL-2.0

package enforce

import (
	"maps"
	"sync"
	"time"
)

// Leases has the time of the newest decision on each target. A ceiling is in force only as long as somebody decides on it:
// the policy renews a lease with each decision, and the enforcer, which does not depend on the policy, releases a ceiling whose
// lease has expired. The zero value is empty; a nil one never expires. Its methods can be called concurrently.
type Leases struct {
	mu      sync.Mutex
	decided map[string]time.Duration
}

// Renew notes a decision on a target at a time on CLOCK_BOOTTIME.
func (l *Leases) Renew(target string, at time.Duration) {
	if l == nil {
		return
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	if l.decided == nil {
		l.decided = map[string]time.Duration{}
	}

	l.decided[target] = at
}

// Expired reports whether the newest decision on a target is longer ago than the length of a lease. Before the first decision
// nothing expires: an adopted ceiling has a grace of its own.
func (l *Leases) Expired(target string, now, length time.Duration) bool {
	if l == nil {
		return false
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	at, ok := l.decided[target]

	return ok && now-at > length
}

// Keep drops the leases of all other targets.
func (l *Leases) Keep(present func(target string) bool) {
	if l == nil {
		return
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	maps.DeleteFunc(l.decided, func(target string, _ time.Duration) bool { return !present(target) })
}
