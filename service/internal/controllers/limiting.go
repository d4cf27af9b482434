// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// limitedFrom is the share of a ceiling from which on a workload's usage counts as limited by it. Under a ceiling that limits
// it a workload uses nearly all of it.
const limitedFrom = 0.8

// limits reports whether a ceiling in cores limits the workload. If no rule measures its CPU usage, it counts as limited.
func limits(decision *policy.Decision, cores float64) bool {
	measured := false

	for i := range decision.Rules {
		if r := &decision.Rules[i]; r.Rule.Signal == config.SignalCPU && r.State != policy.StateUnavailable {
			measured = true

			if r.Value >= limitedFrom*cores {
				return true
			}
		}
	}

	return !measured || decision.Throttled
}
