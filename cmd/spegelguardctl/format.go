// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spegel-guard/spegel-guard/cmd/spegelguardctl/output"
	"github.com/spegel-guard/spegel-guard/internal/compare"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// reading writes a signal's reading for people; what is unavailable is not known.
func reading(signal config.Signal, r *guardv1alpha1.Reading) string {
	if r == nil || !resources.KnownProvenance(r.GetProvenance()) {
		return ""
	}

	if signal == config.SignalAllocation {
		return compare.Alloc.Format(r.GetValue())
	}

	return signal.Format(r.GetValue())
}

// known writes a point's value for people; nil is not known.
func known(signal config.Signal, value *float64) string {
	switch {
	case value == nil:
		return ""
	case signal == config.SignalAllocation:
		return compare.Alloc.Format(*value)
	default:
		return signal.Format(*value)
	}
}

func bytesOf(r *guardv1alpha1.Reading) string {
	if r == nil || !resources.KnownProvenance(r.GetProvenance()) {
		return ""
	}

	return humanize.IBytes(uint64(max(0, r.GetValue())))
}

// rounded writes a duration to the second, or finer below one.
func rounded(d time.Duration) string {
	if d > time.Second || d < -time.Second {
		d = d.Round(time.Second)
	}

	return d.String()
}

// ago is how long since.
func (a *app) ago(at *timestamppb.Timestamp) string {
	if !at.IsValid() || at.AsTime().IsZero() {
		return ""
	}

	return rounded(a.now().Sub(at.AsTime()).Round(time.Second))
}

// left is how long until.
func (a *app) left(at *timestamppb.Timestamp) string {
	if !at.IsValid() || at.AsTime().IsZero() {
		return ""
	}

	return rounded(at.AsTime().Sub(a.now()).Round(time.Second))
}

func in(d *durationpb.Duration) string {
	if d == nil || d.AsDuration() == 0 {
		return ""
	}

	return rounded(d.AsDuration())
}

// clock is a time of day in the user's zone.
func clock(at *timestamppb.Timestamp) string {
	if !at.IsValid() {
		return ""
	}

	return at.AsTime().Local().Format(time.DateTime)
}

func millicores(value int64) string {
	if value == 0 {
		return ""
	}

	return fmt.Sprintf("%dm", value)
}

// severityOf a guard's state.
func severityOf(state string) output.Severity {
	switch state {
	case resources.StateOK:
		return output.Good
	case resources.StatePending, resources.StateFiring, resources.StateThrottled, resources.StateReleasing, resources.StateProbing, resources.StatePaused:
		return output.Warning
	default:
		return output.Bad
	}
}

// codeOf is the exit code for a guard's state: what it does comes before what it sees.
func codeOf(state string) int {
	switch state {
	case resources.StateThrottled, resources.StateReleasing, resources.StateProbing:
		return exitThrottled
	case resources.StateOK, resources.StatePending, resources.StateFiring, resources.StatePaused:
		return 0
	default:
		return exitUnavailable
	}
}
