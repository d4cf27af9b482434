// SPDX-License-Identifier: MPL-2.0

package talos_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// rebootInOrder: the guard stops before the CRI does, and has its document after the second boot.
func (s *scenario) rebootInOrder(t *testing.T) {
	before := len(s.node.Console())

	s.reboot(t)
	order(t, s.node.Console()[before:], "service[ext-spegel-guard](Finished)", "service[cri](Stopping)", "Unmounting Filesystem")
	s.waitConfig(t, "/usr/local/etc/spegel-guard/config.yaml", "enforce", "500ms")
}

// reboot restarts the node and waits until the guard is back. EPHEMERAL is unmounted at once on the way down.
func (s *scenario) reboot(t *testing.T) {
	before := len(s.node.Console())

	talosctl(t, s.node, "reboot", "-m", "powercycle", "--wait=false")

	eventually(t, s.node, "waiting for the second boot", func(context.Context) error {
		_, again, found := strings.Cut(s.node.Console()[before:], bootLine)

		switch {
		case !found:
			return errors.New("the node is not down yet")
		case !strings.Contains(again, "service[ext-spegel-guard](Running)"):
			return errors.New("the service is not back yet")
		default:
			return nil
		}
	})

	down, _, _ := strings.Cut(s.node.Console()[before:], bootLine)
	order(t, down, "Unmounting Filesystem")
	assert.False(t, strings.Contains(strings.ToLower(down), "busy"), "a file system was busy")

	waitReady(t, s.node)
}

// bootLine is what Talos' init prints first.
const bootLine = "[initramfs] booting Talos"
