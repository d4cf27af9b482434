// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// saveTalosconfig writes the administrator's talosconfig, with the node's apid as its endpoint.
func (n *Node) saveTalosconfig() error {
	for _, context := range n.cluster.talosconfig.Contexts {
		context.Endpoints = []string{n.Apid}
		context.Nodes = []string{Address}
	}

	n.Talosconfig = filepath.Join(n.dir, "talosconfig")

	return n.cluster.talosconfig.Save(n.Talosconfig)
}

// Talosctl runs the unmodified talosctl against the node's apid and returns what it printed.
func (n *Node) Talosctl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, n.Programs.Talosctl, append([]string{"--talosconfig", n.Talosconfig, "-n", Address}, args...)...)

	var out, stderr bytes.Buffer

	cmd.Stdout, cmd.Stderr = &out, &stderr

	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("talosctl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}

	return out.String(), nil
}

// GuardTalosctl runs the unmodified talosctl against the guard's API.
func (n *Node) GuardTalosctl(ctx context.Context, args ...string) (string, error) {
	return n.Talosctl(ctx, append([]string{"-e", n.Guard}, args...)...)
}

// WaitFor repeats a check until it succeeds. It returns an error if the context or the machine ends.
func (n *Node) WaitFor(ctx context.Context, what string, check func(ctx context.Context) error) error {
	const pause = 500 * time.Millisecond

	for {
		err := check(ctx)
		if err == nil {
			return nil
		}

		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", what, ctx.Err(), err)
		case <-n.done:
			return fmt.Errorf("%s: %w: %w", what, ErrEnded, err)
		case <-time.After(pause):
		}
	}
}
