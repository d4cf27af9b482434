// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package podnet makes the network of a pod for the benchmarks.
package podnet

import (
	"fmt"
	"runtime"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
)

// Do calls do in a thread of its own, in a new network namespace with the interfaces of a pod: loopback, which is down, and one
// more. Processes that do starts are in the namespace, too.
func Do(do func() error) error {
	failed := make(chan error)

	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine

		if err := enter(); err != nil {
			failed <- err

			return
		}

		failed <- do()
	}()

	return <-failed
}

// enter moves the thread to a new namespace.
func enter() error {
	home, err := vns.Get()
	if err != nil {
		return fmt.Errorf("failed to open the thread's network namespace: %w", err)
	}

	if _, err := vns.New(); err != nil {
		return fmt.Errorf("failed to create a network namespace: %w", err)
	}

	err = netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "bench0", PeerNamespace: netlink.NsFd(int(home)),
	})
	if err != nil {
		return fmt.Errorf("failed to create a pod's network: %w", err)
	}

	return nil
}
