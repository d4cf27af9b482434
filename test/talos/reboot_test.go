package talos_test

import (
	"context"
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

// reboot: the guard stops before /var is unmounted, and is back after the boot.
func (s *scenario) reboot(t *testing.T) {
	before := len(s.node.Console())

	talosctl(t, s.node, "reboot", "-m", "powercycle", "--wait=false")

	eventually(t, s.node, "waiting for the second boot", func(context.Context) error {
		if _, again, found := strings.Cut(s.node.Console()[before:], "booting Talos"); found && strings.Contains(again, "service[ext-spegel-guard](Running)") {
			return nil
		}

		return assert.AnError
	})

	console := s.node.Console()[before:]
	down, _, _ := strings.Cut(console, "booting Talos")
	order(t, down, "service[ext-spegel-guard](Finished)", "Unmounting Filesystem")
	assert.NotContains(t, strings.ToLower(down), "busy")

	waitGuard(t, s.node)
}
