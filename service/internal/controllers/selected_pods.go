// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import "github.com/spegel-guard/spegel-guard/pkg/discover"

// selectedPods are the pods whose labels the runtime has compared, by UID and by name. A container of one of them is a target
// even if it is found while the runtime does not answer.
type selectedPods map[string]discover.Container

func newSelectedPods(containers []discover.Container) selectedPods {
	pods := selectedPods{}

	for _, container := range containers {
		pods[podName(container)] = container

		if container.PodUID != "" {
			pods[container.PodUID] = container
		}
	}

	return pods
}

func podName(container discover.Container) string { return container.Namespace + "/" + container.Pod }

// uids returns the UIDs of the pods; nil for nil pods.
func (p selectedPods) uids() map[string]bool {
	if p == nil {
		return nil
	}

	uids := map[string]bool{}

	for _, container := range p {
		uids[container.PodUID] = true
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
			container.Namespace, container.Pod, container.PodUID = pod.Namespace, pod.Pod, pod.PodUID
			found = append(found, container)
		}
	}

	return found
}
