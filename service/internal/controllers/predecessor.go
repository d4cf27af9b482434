// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"path"
	"strings"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// predecessor returns the baselines of the pod before this one of the same DaemonSet, by the last one that ended: a rollout must
// not begin the days of learning anew.
func predecessor(w *workloads, id resource.ID) []policy.SavedBaseline {
	var (
		found []policy.SavedBaseline
		ended time.Duration
		owner = ownerOf(id)
	)

	for other, state := range w.saved {
		if state.since >= ended && ownerOf(other) == owner && len(state.Baselines) > 0 {
			found, ended = state.Baselines, state.since
		}
	}

	for other, known := range w.known {
		if known.lostAt == 0 || known.lostAt < ended || ownerOf(other) != owner {
			continue
		}

		if saved := known.SavedState().Baselines; len(saved) > 0 {
			found, ended = saved, known.lostAt
		}
	}

	return found
}

// ownerOf returns what the pods of a DaemonSet have in common in the ids of their targets: namespace/pod/container without the
// random part of the pod's name.
func ownerOf(id resource.ID) string {
	pod, container := path.Split(id)

	return pod[:max(0, strings.LastIndexByte(pod, '-'))] + "/" + container
}
