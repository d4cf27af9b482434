// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// runPods runs idle pods of spegel.
func runPods(ctx context.Context, n *node.Node, count int) ([]*node.Pod, error) {
	pods := make([]*node.Pod, 0, count)

	for i := range count {
		pod, err := n.RunPod(ctx, node.SpegelPod(fmt.Sprintf("spegel-%05d", i)))
		if err != nil {
			return pods, err
		}

		pods = append(pods, pod)

		if err := pod.WaitServing(ctx); err != nil {
			return pods, err
		}

		if err := pod.Steer(ctx, map[string]any{"mode": "idle"}); err != nil {
			return pods, err
		}
	}

	return pods, nil
}

func removePods(pods []*node.Pod) {
	for _, pod := range pods {
		pod.Remove(context.Background()) //nolint:errcheck // the machine is about to end
	}
}

// startGuard starts the guard and waits until its state is ok.
func startGuard(ctx context.Context, n *node.Node, document string) (*node.Guard, error) {
	if err := node.RemoveSavedState(); err != nil {
		return nil, err
	}

	guard, err := n.StartGuard(ctx, document)
	if err != nil {
		return nil, err
	}

	if _, err := guard.WaitState(ctx, time.Minute, resources.StateOK); err != nil {
		return nil, fmt.Errorf("%w\n--- guard ---\n%s", err, guard.Log)
	}

	return guard, nil
}
