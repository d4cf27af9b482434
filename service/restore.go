// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/service/internal/controllers"
	"github.com/spegel-guard/spegel-guard/service/internal/decide"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/host"
	"github.com/spegel-guard/spegel-guard/service/internal/override"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
)

// restore writes the owner's limit back on every cgroup with a ceiling and removes the saved state: for an uninstall,
// and for a node that must be free at once.
func restore(f flags) error {
	return restoreNode(enforce.NewNode(host.Host{Proc: f.proc, Cgroup: f.cgroup}, nil), f, os.Stdout)
}

// restoreNode prints what it did to out. Its error has every cgroup that could not be searched.
func restoreNode(node enforce.Node, f flags, out io.Writer) error {
	all, err := enforce.RestoreAll(node)
	failed := 0

	for _, one := range all {
		if one.Err != nil {
			failed++

			fmt.Fprintf(out, "%s: %v\n", one.Cgroup, one.Err) //nolint:errcheck // the exit code has the result

			continue
		}

		fmt.Fprintf(out, "%s: %s: cpu.max %q, was %q\n", one.Cgroup, one.Target, one.After, one.Before) //nolint:errcheck // as above
	}

	switch {
	case failed > 0:
		err = errors.Join(err, fmt.Errorf("failed to restore %d of %d cgroups", failed, len(all)))
	case err == nil:
		fmt.Fprintf(out, "%d ceilings released, none is left\n", len(all)) //nolint:errcheck // as above
	}

	return errors.Join(err, persist.File[persist.Workload]{Path: f.state}.Remove(), override.File{Path: f.overrides()}.Remove())
}

// continued returns the state that workloads continue from. The newer hold counts: after a crash during a trip or a step down that of
// the journal, because a decision is saved after it is published.
func continued(saved map[string]persist.Workload, adopted enforce.Adopted, cfg controllers.LoadedConfig) map[string]persist.Workload {
	known, now := maps.Clone(saved), boottime.Now()

	for id, workload := range known {
		workload.Hold = bounded(workload.Hold, cfg)
		workload.SavedState = workload.At(now)

		// In mode observe no hold continues. A document that cannot be used is no decision for observe: its hold
		// continues with the next good one.
		if cfg.Mode == config.ModeObserve && cfg.Err == nil {
			workload.Hold = policy.Hold{}
		}

		known[id] = workload
	}

	for id, hold := range adopted.Holds {
		// The ceiling of an override ends with the override.
		if hold.Rule == decide.RuleOverride {
			continue
		}

		workload, before := known[id], saved[id].SavedState

		switch {
		case before.Hold.Rule == hold.Rule && before.Hold.Since == hold.Since:
			workload.SavedState = before.SteppedDown(hold, cfg.Policy().Ceiling)
			// The document may have a shorter hold by now.
			workload.Hold.Prolonged = min(workload.Hold.Prolonged, now)
			workload.Hold = bounded(workload.Hold, cfg)
		case workload.Hold.Rule == "" || hold.Since > workload.Hold.Since:
			// The saved level does not count the trip of this hold. Without one the engine estimates it from the hold.
			workload.Hold, workload.Level = bounded(hold, cfg), 0
		}

		if since, ok := adopted.Changed[id]; ok && cfg.Ceiling.Conflict == config.ConflictYield && workload.Hold.Since == since {
			workload.Yielded = since
		}

		known[id] = workload
	}

	return known
}

// bounded returns a hold within the bounds of the document, which may have changed since it began. A document that cannot be
// used changes nothing.
func bounded(hold policy.Hold, cfg controllers.LoadedConfig) policy.Hold {
	if hold.Rule == "" || cfg.Err != nil {
		return hold
	}

	hold.Until = min(hold.Until, max(hold.Since, hold.Prolonged)+cfg.Ceiling.Backoff.Max.Duration)
	hold.Millicores = max(hold.Millicores, cfg.Ceiling.Floor.Millicores)

	return hold
}
