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

	l.set(target, sample+length)
}

func (l *Leases) set(target string, end time.Duration) {
	if l.end == nil {
		l.end = map[string]time.Duration{}
	}

	l.end[target] = end
}

// Expired reports whether the lease of a target has ended. One on which nobody has decided yet gets a lease of the given length:
// a container that was replaced may have the decision on the one before, and an adopted ceiling a saved one.
func (l *Leases) Expired(target string, now, length time.Duration) bool {
	if l == nil {
		return false
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	if _, ok := l.end[target]; !ok {
		l.set(target, now+length)
	}

	return now > l.end[target]
}

// retention is how long the lease of a target that is gone is kept: its next container has no new one before a decision on it.
const retention = time.Hour

// Keep drops the leases of targets that are not present for long.
func (l *Leases) Keep(present func(target string) bool, now time.Duration) {
	if l == nil {
		return
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	maps.DeleteFunc(l.end, func(target string, end time.Duration) bool { return !present(target) && now > end+retention })
}
