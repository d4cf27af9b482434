// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"cmp"
	"path"
	"strings"

	"github.com/cosi-project/runtime/pkg/resource"

	"github.com/spegel-guard/spegel-guard/pkg/policy"
)

// predecessor returns the baselines of the pod before this one of the same DaemonSet: a rollout must not begin the days of learning
// anew. Of several pods it is the one that learned last.
func predecessor(w *workloads, id resource.ID) []policy.SavedBaseline {
	var (
		found []policy.SavedBaseline
		from  resource.ID
		owner = ownerOf(id)
	)

	consider := func(other resource.ID, state policy.SavedState) {
		later := cmp.Compare(lastHour(state.Baselines), lastHour(found))

		// Saved states of an earlier process have no other order.
		if later > 0 || later == 0 && other > from {
			found, from = state.Baselines, other
		}
	}

	for other, saved := range w.saved {
		if ownerOf(other) == owner {
			consider(other, saved.SavedState)
		}
	}

	for other, known := range w.known {
		if known.lostAt != 0 && ownerOf(other) == owner {
			consider(other, known.SavedState())
		}
	}

	return found
}

// lastHour returns the hour after the newest level, since the boot.
func lastHour(baselines []policy.SavedBaseline) int64 {
	last := int64(0)

	for _, b := range baselines {
		last = max(last, b.Hour+int64(len(b.Levels)))
	}

	return last
}

// ownerOf returns what the pods of a DaemonSet have in common in the ids of their targets: namespace/pod/container without the
// random part of the pod's name.
func ownerOf(id resource.ID) string {
	folder, container := path.Split(id)
	namespace, pod := path.Split(strings.TrimSuffix(folder, "/"))

	if random := strings.LastIndexByte(pod, '-'); random >= 0 {
		pod = pod[:random]
	}

	return path.Join(namespace, pod, container)
}
