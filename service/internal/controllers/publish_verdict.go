// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"fmt"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/pkg/policy"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/internal/observe"
)

// verdictPublisher publishes the newest verdict on a ceiling of one target.
type verdictPublisher struct{ last *policy.Verdict }

// publish updates the resource when there is another verdict. At is the time of the verdict: it may be published again later, for the
// next container.
func (p *verdictPublisher) publish(
	ctx context.Context, r controller.Writer, id resource.ID, verdict *policy.Verdict, at time.Duration,
) error {
	if verdict == p.last {
		return nil
	}

	err := safe.WriterModify(ctx, r, resources.NewVerdict(id), func(res *resources.Verdict) error {
		spec := res.TypedSpec()
		next := resources.VerdictSpec{
			At: spec.At, Clock: at, Rule: verdict.Rule, Outcome: string(verdict.Outcome), Reason: verdict.Reason, FailedProbes: uint64(verdict.FailedProbes),
			Before: usage(verdict.Before), During: usage(verdict.During), After: usage(verdict.After),
		}

		if *spec != next {
			*spec = next
			resources.SetTimes(spec, boottime.Wall)
		}

		return nil
	})
	if err != nil {
		return fmt.Errorf("failed to publish the verdict on %s: %w", id, err)
	}

	p.last = verdict

	return nil
}

// withdraw removes the resource.
func (p *verdictPublisher) withdraw(ctx context.Context, r controller.Writer, id resource.ID) error {
	if err := ignoreNotFound(r.Destroy(ctx, resources.NewVerdict(id).Metadata())); err != nil {
		return fmt.Errorf("failed to remove the verdict on %s: %w", id, err)
	}

	p.last = nil

	return nil
}

func usage(u policy.Usage) resources.Usage {
	return resources.Usage{
		Over: u.Over, CoreSeconds: observe.Round(u.CoreSeconds), TXBytes: observe.Round(u.TXBytes), RXBytes: observe.Round(u.RXBytes),
		AllocatedBytes: observe.Round(u.AllocatedBytes), ThrottledSeconds: observe.Round(u.ThrottledTime),
		AllocatedOver:  u.AllocatedOver,
		MirrorRequests: u.MirrorRequests, MirrorHits: u.MirrorHits, UnreadySeconds: observe.Round(u.UnreadySeconds),
	}
}
