//go:build linux

package main

import (
	"errors"
	"fmt"
	"maps"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/controllers"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

// restore takes back every ceiling on the node and forgets what was decided: for an uninstall, and for
// a node that must be free at once.
func restore(f flags) error {
	all, err := enforce.RestoreAll(f.cgroup)
	if err != nil {
		return err
	}

	failed := 0

	for _, one := range all {
		if one.Err != nil {
			failed++

			fmt.Printf("%s: %v\n", one.Cgroup, one.Err)

			continue
		}

		fmt.Printf("%s: %s: cpu.max %q, was %q\n", one.Cgroup, one.Target, one.After, one.Before)
	}

	if failed > 0 {
		err = fmt.Errorf("%d of %d ceilings could not be taken back", failed, len(all))
	} else {
		fmt.Printf("%d ceilings taken back, none is left\n", len(all))
	}

	return errors.Join(err, persist.File[persist.Workload]{Path: f.memory}.Remove(), persist.File[override.Entry]{Path: f.overrides()}.Remove())
}

// recall puts together what is known of earlier decisions. The memory is at least as new as a journal,
// but it may be missing.
func recall(remembered map[string]persist.Workload, left enforce.Leftovers, cfg controllers.LoadedConfig) map[string]persist.Workload {
	known, now := maps.Clone(remembered), boottime.Now()

	for id, workload := range known {
		workload.SavedState = workload.At(now)

		// What is only observed has no hold to go on with. But a hold outlasts a document that cannot be used: nobody
		// decided for observe then, and the hold goes on with the next good one.
		if cfg.Mode == config.ModeObserve && cfg.Err == nil {
			workload.Hold = policy.Hold{}
		}

		known[id] = workload
	}

	for id, hold := range left.Holds {
		// A person's ceiling ends with their order, not with a rule's hold.
		if hold.Rule == resources.RuleOverride {
			continue
		}

		workload := known[id]

		if workload.Hold.Rule == "" {
			workload.Hold = hold
		}

		if since, ok := left.Foreign[id]; ok && cfg.Ceiling.Conflict == config.ConflictYield && workload.Hold.Since == since {
			workload.Yielded = since
		}

		known[id] = workload
	}

	return known
}
