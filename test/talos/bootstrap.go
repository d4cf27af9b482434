// SPDX-License-Identifier: MPL-2.0

package talos

import (
	"context"
	"strings"
)

// Bootstrap creates etcd on the node, as a person does once for each cluster, as soon as Talos allows it. The first boot of a control
// plane waits until a person does, and each later one until etcd is healthy.
func (n *Node) Bootstrap(ctx context.Context) error {
	return n.WaitFor(ctx, "bootstrapping etcd", func(ctx context.Context) error {
		_, err := n.Talosctl(ctx, "bootstrap")
		if err != nil && strings.Contains(err.Error(), "AlreadyExists") {
			return nil // the answer to an earlier call was lost
		}

		return err
	})
}
