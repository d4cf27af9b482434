// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cosi-project/runtime/pkg/state"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/bench/result"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// tripping is a configuration that trips at the first sample above the threshold, probes after a second, and trips again.
const tripping = `
interval: 100ms
rules: [{name: SpegelHighCPU, signal: cpu, threshold: 100m, for: 0s, window: 1s}]
ceiling: {cpu: 500m, floor: 100m, hold: 1s, releaseAfter: 1s, probe: 1s, backoff: {factor: 1, max: 1s}}
`

// reactions collects the reaction times that the guard reports: from the start of a sample to the write of cpu.max.
func reactions(ctx context.Context, n *node.Node, found *result.Guest) error {
	pods, err := runPods(ctx, n, 1)
	if err != nil {
		return err
	}

	defer removePods(pods)

	for _, c := range []struct {
		with, document string
		trips          int
	}{
		{"without evidence", tripping + "evidence: {limit: 0}\n", 100},
		{"with evidence (default)", tripping, 20},
	} {
		taken, err := trips(ctx, n, pods[0], c.document, c.trips)
		if err != nil {
			return err
		}

		slices.Sort(taken)

		r := result.Reaction{
			With: c.with, Trips: len(taken), P50: taken[len(taken)/2], P99: taken[(len(taken)*99+99)/100-1], Max: taken[len(taken)-1],
		}

		fmt.Printf("\nreaction %s, %d trips: p50 %s, p99 %s, max %s\n", r.With, r.Trips, r.P50, r.P99, r.Max)

		found.Reactions = append(found.Reactions, r)
	}

	return nil
}

func trips(ctx context.Context, n *node.Node, pod *node.Pod, document string, count int) ([]time.Duration, error) {
	if err := pod.Steer(ctx, map[string]any{"mode": "idle"}); err != nil {
		return nil, err
	}

	time.Sleep(2 * time.Second)

	guard, err := startGuard(ctx, n, document)
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()

	actions := make(chan state.Event)

	if err := guard.Client.COSI.WatchKind(ctx, resources.NewGuardAction("").Metadata(), actions); err != nil {
		return nil, err
	}

	if err := pod.Steer(ctx, map[string]any{"mode": "sustained", "blobs": 1053, "workers": 1, "peers": []string{"127.0.0.1:5001"}}); err != nil {
		return nil, err
	}

	var taken []time.Duration

	for len(taken) < count {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("only %d trips were observed: %w\n--- guard ---\n%s", len(taken), ctx.Err(), guard.Log)
		case event := <-actions:
			if action, ok := event.Resource.(*resources.GuardAction); ok && event.Type == state.Created && action.TypedSpec().Reaction > 0 {
				taken = append(taken, action.TypedSpec().Reaction)
			}
		}
	}

	_, _, err = guard.Stop(context.WithoutCancel(ctx))

	return taken, err
}
