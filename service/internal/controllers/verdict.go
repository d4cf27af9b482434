//go:build linux

package controllers

import (
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// publishVerdict keeps a target's newest verdict.
func (w *workload) publishVerdict(ctx context.Context, r controller.Writer, id string) error {
	verdict := w.verdict
	if verdict == w.told {
		return nil
	}

	err := safe.WriterModify(ctx, r, resources.NewVerdict(id), func(res *resources.Verdict) error {
		spec := res.TypedSpec()
		next := resources.VerdictSpec{
			At: spec.At, Rule: verdict.Rule, Outcome: string(verdict.Outcome), Reason: verdict.Reason, Ended: verdict.Ended,
			Before: usage(verdict.Before), During: usage(verdict.During), After: usage(verdict.After),
		}

		if *spec != next {
			next.At = time.Now().UTC()
			*spec = next
		}

		return nil
	})
	if err != nil {
		return fmt.Errorf("error publishing the verdict on %s: %w", id, err)
	}

	w.told = verdict

	return nil
}

func usage(u policy.Usage) resources.Usage {
	return resources.Usage{
		Over: u.Over, CoreSeconds: round(u.CoreSeconds), TXBytes: round(u.TXBytes), RXBytes: round(u.RXBytes),
		AllocatedBytes: round(u.AllocatedBytes), ThrottledSeconds: round(u.ThrottledTime),
	}
}

func displayUsage(u policy.Usage) string {
	if u.Over <= 0 {
		return "-"
	}

	return fmt.Sprintf("%s and %s TX over %s", config.SignalCPU.Format(u.Cores()),
		config.SignalNetworkTX.Format(u.TXPerSecond()), u.Over.Round(time.Second))
}
