// SPDX-License-Identifier: MPL-2.0

package talos_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// rebootsInOrder: the guard stops before the CRI, and has its document after the second boot.
func (s *scenario) rebootsInOrder(t *testing.T) {
	before := len(s.node.Console())

	s.reboot(t)
	order(t, s.node.Console()[before:], "service[ext-spegel-guard](Finished)", "service[cri](Stopping)", "Unmounting Filesystem")
	s.waitConfig(t, "/usr/local/etc/spegel-guard/config.yaml", "enforce", "500ms")
}

// reboot restarts the node and waits until the guard runs again. EPHEMERAL must be unmounted within the 5 s in which Talos tries again
// without a message.
func (s *scenario) reboot(t *testing.T) {
	before := len(s.node.Console())

	talosctl(t, s.node, "reboot", "-m", "powercycle", "--wait=false")

	booting := before

	eventually(t, s.node, "waiting for the next kernel", func(context.Context) error {
		at := strings.Index(s.node.Console()[before:], "Linux version ")
		if at < 0 {
			return errors.New("the node is not down yet")
		}

		booting = before + at

		return nil
	})
	eventually(t, s.node, "waiting for the next boot", func(ctx context.Context) error { return s.node.AwaitBoot(ctx, booting) })
	eventually(t, s.node, "waiting for the second boot", func(context.Context) error {
		if !strings.Contains(s.node.Console()[booting:], "service[ext-spegel-guard](Running)") {
			return errors.New("the service does not run yet")
		}

		return nil
	})

	down := s.node.Console()[before:booting]
	order(t, down, "Unmounting Filesystem")
	assert.False(t, strings.Contains(strings.ToLower(down), "busy"), "a file system was busy")

	waitReady(t, s.node)
}
