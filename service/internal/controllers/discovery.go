// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// TargetNode is what discovery reads of the node: see host.Host.
type TargetNode interface {
	CheckRoot() error
	Inspect(container discover.Container) (resources.TargetSpec, error)
	Alive(target resources.TargetSpec) bool
	AwaitEnd(ctx context.Context, target resources.TargetSpec) error
}

// discovery finds the targets and keeps those that run.
type discovery struct {
	node    TargetNode
	sources []discover.Source

	// known are the targets by workload.
	known map[string]resources.TargetSpec
	// target is the configuration of the newest answer.
	target config.Target
	// pods are those of the newest answer with labels; nil before the first.
	pods selectedPods
	// skipped are the reasons why selected containers of the newest answer are not targets; empty for none.
	skipped string
}

// find returns the targets by workload, and the reason and message of the condition.
func (d *discovery) find(ctx context.Context, target config.Target) (map[string]resources.TargetSpec, string, string) {
	if err := d.node.CheckRoot(); err != nil {
		return nil, resources.ReasonNoCgroup2, fmt.Sprintf("%v: the guard needs the node's unified hierarchy mounted there", err)
	}

	// Without labels others than the selected pods run the same executable. A container of a selected pod may restart while
	// the runtime's answer fails.
	if !reflect.DeepEqual(d.target, target) {
		d.target, d.pods = target, nil
	}

	selector := selectorOf(target)
	selector.PodUIDs = d.pods.uids()

	answer, err := discover.Find(ctx, selector, d.sources...)
	containers := answer.Containers

	found := map[string]resources.TargetSpec{}
	seen := map[string]bool{}

	switch {
	case answer.Unlabelled == nil:
		d.pods = d.pods.add(containers, time.Now())
	case d.pods != nil:
		containers = d.pods.of(containers)
	default:
		containers = unambiguous(containers)
	}

	// Without the labels, what was known stays as long as it lives. So does a target that this source cannot inspect.
	for id, spec := range d.known {
		if (answer.Unlabelled != nil || answer.Skipped[spec.ContainerID] != nil) && d.node.Alive(spec) {
			found[id], seen[spec.ContainerID] = spec, true
		}
	}

	var inspectErrs error

	for _, id := range slices.Sorted(maps.Keys(answer.Skipped)) {
		if !seen[id] {
			inspectErrs = errors.Join(inspectErrs, fmt.Errorf("container %.64q: %w", id, answer.Skipped[id]))
		}
	}

	d.skipped = ""
	if inspectErrs != nil {
		d.skipped = inspectErrs.Error()
	}

	for _, container := range containers {
		if seen[container.ID] {
			continue
		}

		// Another process of a known target's pod may run the same executable.
		if _, known := found[container.Workload()]; known && answer.Unlabelled != nil {
			continue
		}

		spec, inspectErr := resources.TargetSpec{}, container.Validate()
		if inspectErr == nil {
			spec, inspectErr = d.node.Inspect(container)
		}

		if inspectErr != nil {
			inspectErrs = errors.Join(inspectErrs, fmt.Errorf("container %s: %w", container.Workload(), inspectErr))

			continue
		}

		found[container.Workload()] = spec
		// Another process in the container may show another name of its pod.
		seen[container.ID] = true
	}

	unlabelled := errors.Join(err, answer.Unlabelled)

	switch {
	case answer.Unlabelled != nil && len(found) == 0:
		return found, resources.ReasonCRI, fmt.Sprintf("%v: is the container runtime up, and its socket mounted?", unlabelled)
	case answer.Unlabelled != nil:
		return found, resources.ReasonCRI, fmt.Sprintf("%v: continuing with the known targets and with what is found without labels", unlabelled)
	case len(found) == 0 && inspectErrs != nil:
		return found, resources.ReasonNoTarget, inspectErrs.Error()
	case len(found) == 0:
		return found, resources.ReasonNoTarget,
			fmt.Sprintf("no running container %q in a pod with labels %v", target.Container, target.PodLabels)
	default:
		return found, resources.ReasonOK, ""
	}
}

// ended reports whether a known target has ended.
func (d *discovery) ended() bool {
	for _, spec := range d.known {
		if !d.node.Alive(spec) {
			return true
		}
	}

	return false
}

func selectorOf(target config.Target) discover.Selector {
	return discover.Selector{
		Namespace: target.Namespace, PodLabels: target.PodLabels, Container: target.Container, Process: target.Process,
	}
}
