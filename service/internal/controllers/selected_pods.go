// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"maps"
	"time"

	"github.com/spegel-guard/spegel-guard/internal/bounded"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
)

const (
	// keepPods is how long a pod is known after an answer of the runtime that had a running container of it.
	keepPods = 10 * time.Minute
	// maxPods is how many names and UIDs of pods are known: a node has at most some hundred pods at a time.
	maxPods = 2048
)

// selectedPods are the pods whose labels the runtime has compared, by UID and by name. A container of one of them is a target
// even if it is found while the runtime does not answer, for instance after a restart.
type selectedPods map[string]selectedPod

type selectedPod struct {
	namespace, name, uid string
	seen                 time.Time
}

// add returns the pods with those of the containers of an answer with labels, and without those that were not seen for long.
func (p selectedPods) add(containers []discover.Container, now time.Time) selectedPods {
	if p == nil {
		p = selectedPods{}
	}

	maps.DeleteFunc(p, func(_ string, pod selectedPod) bool { return now.Sub(pod.seen) > keepPods })

	for _, container := range containers {
		pod := selectedPod{namespace: container.Namespace, name: container.Pod, uid: container.PodUID, seen: now}
		p[podName(container)] = pod

		if pod.uid != "" {
			p[pod.uid] = pod
		}
	}

	for _, key := range bounded.Excess(p, maxPods, func(_ string, pod selectedPod) (int64, bool) { return pod.seen.UnixNano(), true }) {
		delete(p, key)
	}

	return p
}

func podName(container discover.Container) string { return container.Namespace + "/" + container.Pod }

// uids returns the UIDs of the pods; nil for nil pods.
func (p selectedPods) uids() map[string]bool {
	if p == nil {
		return nil
	}

	uids := map[string]bool{}

	for _, pod := range p {
		uids[pod.uid] = true
	}

	return uids
}

// of returns the containers that are in the pods, with the names of their pods as the runtime has them: without the runtime a
// container itself shows its name.
func (p selectedPods) of(containers []discover.Container) []discover.Container {
	var found []discover.Container

	for _, container := range containers {
		key := container.PodUID
		if key == "" {
			key = podName(container)
		}

		if pod, ok := p[key]; ok {
			container.Namespace, container.Pod, container.PodUID = pod.namespace, pod.name, pod.uid
			found = append(found, container)
		}
	}

	return found
}

// unambiguous returns containers whose pods have not been compared with the runtime's. Those that show the name of one pod but
// are in several are named by the UIDs of their pods, so that none of them can take the place of another.
func unambiguous(containers []discover.Container) []discover.Container {
	uids, shared := map[string]string{}, map[string]bool{}

	for _, container := range containers {
		name := podName(container)

		if uid, ok := uids[name]; ok && uid != container.PodUID {
			shared[name] = true
		}

		uids[name] = container.PodUID
	}

	var found []discover.Container

	for _, container := range containers {
		if shared[podName(container)] && container.PodUID != "" {
			container.Pod = container.PodUID
		}

		found = append(found, container)
	}

	return found
}
