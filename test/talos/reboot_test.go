// SPDX-License-Identifier: MPL-2.0

package talos_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/spegel-guard/spegel-guard/pkg/config"
)

// rebootsInOrder: the guard stops before the CRI. It has its document again after the boot. That document has errors, and the boot
// completes with it.
func (s *scenario) rebootsInOrder(t *testing.T) {
	// Talos restarts the service for the document.
	s.patch(t, document(invalid))
	s.waitCheck(t, "config", "failed")

	before := len(s.node.Console())
	booting := s.reboot(t)
	order(t, s.node.Console()[before:], "service[ext-spegel-guard](Finished)", "service[cri](Stopping)", "Unmounting Filesystem")

	waitBooted(t, s.node, booting)
	s.waitCheck(t, "config", "failed")

	s.patch(t, document(quick))
	s.waitConfig(t, config.Path, "enforce", "500ms")
}

// reboot restarts the node and waits until the guard runs again. EPHEMERAL must be unmounted within the 5 s in which Talos tries again
// without a message. It returns where the output of the next boot begins on the console, in bytes.
func (s *scenario) reboot(t *testing.T) int {
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

	return booting
}
