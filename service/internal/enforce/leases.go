// SPDX-License-Identifier: MPL-2.0

package enforce

import (
	"maps"
	"sync"
	"time"
)

// Leases has a lease of each target on which the policy decides. A ceiling is in force only as long as somebody decides on it:
// the policy renews a lease with each decision on a new sample, and the enforcer, which does not depend on the policy, releases
// a ceiling whose lease has expired. The zero value is empty; a nil one never expires. Its methods can be called concurrently.
type Leases struct {
	mu  sync.Mutex
	end map[string]time.Duration
}

// Renew makes the lease of a target last for a length from the time of the sample that was decided on (CLOCK_BOOTTIME).
func (l *Leases) Renew(target string, sample, length time.Duration) {
	if l == nil {
		return
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	if l.end == nil {
		l.end = map[string]time.Duration{}
	}

	l.end[target] = sample + length
}

// Expired reports whether the lease of a target has ended. Before the first decision nothing expires: an adopted ceiling has a
// grace of its own.
func (l *Leases) Expired(target string, now time.Duration) bool {
	if l == nil {
		return false
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	end, ok := l.end[target]

	return ok && now > end
}

// Keep drops the leases of all other targets.
func (l *Leases) Keep(present func(target string) bool) {
	if l == nil {
		return
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	maps.DeleteFunc(l.end, func(target string, _ time.Duration) bool { return !present(target) })
}
