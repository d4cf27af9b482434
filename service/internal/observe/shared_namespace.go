// SPDX-License-Identifier: MPL-2.0

package observe

import (
	"sync"

	"github.com/spegel-guard/spegel-guard/internal/task"
)

// sharedNamespace is a namespace that is closed when its last user has ended.
type sharedNamespace struct {
	Namespace

	mu     sync.Mutex
	users  int
	closed bool
}

// use runs do in a goroutine.
func (n *sharedNamespace) use(do func()) {
	n.change(1, false)

	go task.Do("use a network namespace", func() {
		defer n.change(-1, false)

		do()
	})
}

// Close closes the namespace after the end of its users and does not wait for it. The namespace cannot be used again.
func (n *sharedNamespace) Close() { n.change(0, true) }

func (n *sharedNamespace) change(users int, closed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()

	n.users += users
	n.closed = n.closed || closed

	if n.closed && n.users == 0 {
		n.Namespace.Close()
	}
}
