// SPDX-License-Identifier: MPL-2.0

// Command talosnode runs a real Talos node with the guard until it is interrupted.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spegel-guard/spegel-guard/test/talos"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "talosnode:", err)
		os.Exit(1)
	}
}

func run() error {
	pod := flag.Bool("pod", false, "run a pod of spegel whose load can be changed")
	timeout := flag.Duration("timeout", 5*time.Minute, "time to wait until the guard answers, and for the bootstrap of etcd")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	fmt.Println("Making a Talos image with the extension and booting it ...")

	node, err := talos.Start(ctx, talos.Options{Tree: "."})
	if err != nil {
		return err
	}

	defer node.Stop() //nolint:errcheck // a temporary folder

	if err := wait(ctx, node, *timeout); err != nil {
		return fmt.Errorf("%w\n--- console ---\n%s", err, node.Console())
	}

	fmt.Printf(guide, time.Since(node.Started).Seconds(), node.Talosconfig, node.Programs.Talosctl, node.Guard, talos.Address)

	if err := bootstrap(ctx, node, *timeout); err != nil {
		return err
	}

	if *pod {
		if err := runPod(ctx, node); err != nil {
			return err
		}
	}

	fmt.Println("\nCtrl-C stops the node.")
	<-ctx.Done()

	return nil
}

const guide = `The guard answers %.0f s after power-on. In another shell:

  export TALOSCONFIG=%s
  alias talosctl=%s
  talosctl services                     # ext-spegel-guard is the guard
  talosctl logs ext-spegel-guard
  talosctl -e %s -n %s get spegel
`

// bootstrap creates etcd, without which Talos' boot waits.
func bootstrap(ctx context.Context, node *talos.Node, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	return node.Bootstrap(ctx)
}

// wait waits until the guard answers the unmodified talosctl.
func wait(ctx context.Context, node *talos.Node, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	return node.WaitFor(ctx, "waiting for the guard", func(ctx context.Context) error {
		_, err := node.GuardTalosctl(ctx, "get", "spegel")

		return err
	})
}

func runPod(ctx context.Context, node *talos.Node) error {
	const name = "spegel-x7k2p"

	pod, err := node.RunPod(ctx, talos.SpegelPod(name))
	if err != nil {
		return err
	}

	fmt.Printf("\nPod %s runs in cgroup %s. Start and stop the load:\n\n", name, pod.Cgroup)

	for _, mode := range []string{"sustained", "idle"} {
		fmt.Printf("  curl -d '{\"mode\":%q}' http://%s/pods/%s/steer\n", mode, node.Agent, name)
	}

	return nil
}
