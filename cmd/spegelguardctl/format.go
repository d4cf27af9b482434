// SPDX-License-Identifier: MPL-2.0

package main

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/spegel-guard/spegel-guard/internal/duration"
	"github.com/spegel-guard/spegel-guard/pkg/client"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// reading formats a signal's reading; empty for a value that is unavailable or warming.
func reading(signal config.Signal, r resources.Reading) string {
	if !r.Known() {
		return ""
	}

	return known(signal, &r.Value)
}

// known formats a signal's value; empty for nil, and for one that no signal can have: a node decides what it sends.
func known(signal config.Signal, value *float64) string {
	if value == nil || !client.Plausible(*value) {
		return ""
	}

	return signal.Format(*value)
}

// readiness formats whether the target is ready; empty when that is unavailable.
func readiness(r resources.Reading) string {
	switch {
	case !r.Known() || !client.Plausible(r.Value):
		return ""
	case r.Value == 0:
		return "no"
	default:
		return "yes"
	}
}

// bytesOf formats an amount of bytes; empty as in known.
func bytesOf(r resources.Reading) string {
	if !r.Known() || !client.Plausible(r.Value) {
		return ""
	}

	return resources.PrettyBytes(r.Value)
}

// ago formats the time since; empty while the node's clock is not set.
func (a *app) ago(at time.Time) string {
	if at.IsZero() {
		return ""
	}

	return duration.Format(a.now().Sub(at).Round(time.Second))
}

// left formats the time until with a word before it; empty while the node's clock is not set.
func (a *app) left(before string, at time.Time) string {
	if at.IsZero() {
		return ""
	}

	return before + duration.Format(at.Sub(a.now()).Round(time.Second))
}

// clock formats a time in the user's zone.
func clock(at time.Time) string {
	if at.IsZero() {
		return ""
	}

	return at.Local().Format(time.DateTime)
}

// timestamp formats a time in the user's zone; empty for one that the node does not know.
func timestamp(at *timestamppb.Timestamp) string {
	if at == nil {
		return ""
	}

	return clock(at.AsTime())
}

// codeOf returns the exit code for a guard's state.
func codeOf(state string) int {
	switch state {
	case resources.StateThrottled, resources.StateProbing:
		return exitThrottled
	case resources.StateOK, resources.StatePending, resources.StateFiring, resources.StateReleasing, resources.StatePaused:
		return 0
	default:
		return exitUnavailable
	}
}
