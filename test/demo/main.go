// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Command demo replays the incident in the test machine and prints the reaction of the guard every second.
//
// It reads the figures from the kernel (cpu.stat, cpu.max, /proc/<pid>/net/dev), and the states of rules and guard from the
// guard's API over mutual TLS.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spegel-guard/spegel-guard/test/node"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Println("demo:", err)
		os.Exit(1)
	}
}

// document has the default rules on CPU and traffic, with seconds instead of minutes.
const document = `
interval: 500ms
rules:
  - {name: SpegelHighCPU, signal: cpu, threshold: 550m, for: 10s, window: 4s}
  - {name: SpegelHighNetworkTX, mode: observe, signal: networkTx, threshold: 1M/s, for: 10s, window: 4s}
ceiling: {cpu: 500m, floor: 100m, hold: 10s, releaseAfter: 5s, probe: 0s}
`

const (
	calmBefore = 4 * time.Second
	burst      = 32 * time.Second
	timeout    = 2 * time.Minute
)

func run(ctx context.Context) error {
	fmt.Println("Starting containerd and its CRI, two pods, and the guard as a Talos extension service ...")

	n, err := node.Start(ctx)
	if err != nil {
		return err
	}

	bystander, err := startPod(ctx, n, node.PodSpec{Name: "bystander", Namespace: "default", Container: "app"})
	if err != nil {
		return err
	}

	spegel, err := startPod(ctx, n, node.SpegelPod("spegel-x7k2p"))
	if err != nil {
		return err
	}

	guard, err := n.StartGuard(ctx, document)
	if err != nil {
		return err
	}

	fmt.Printf("  spegel     %s, cgroup %s\n", spegel.IP, spegel.Cgroup)
	fmt.Printf("  bystander  %s, as busy as spegel, but not a target\n", bystander.IP)
	fmt.Println("  guard      cgroup", guard.CgroupPath)
	fmt.Println("Configuration, with seconds instead of the defaults' minutes:")
	fmt.Println("  " + strings.ReplaceAll(strings.TrimSpace(document), "\n", "\n  "))
	fmt.Println()

	story := &story{spegel: spegel, bystander: bystander, guard: guard}

	if err := story.play(ctx); err != nil {
		return fmt.Errorf("%w\n--- guard ---\n%s", err, guard.Log)
	}

	if _, _, err := guard.Stop(ctx); err != nil {
		return err
	}

	return story.sumUp()
}

func startPod(ctx context.Context, n *node.Node, spec node.PodSpec) (*node.Pod, error) {
	pod, err := n.RunPod(ctx, spec)
	if err != nil {
		return nil, err
	}

	if err := pod.WaitServing(ctx); err != nil {
		return nil, err
	}

	return pod, pod.Steer(ctx, map[string]any{"mode": "idle"})
}
