// SPDX-License-Identifier: MPL-2.0

//go:build linux

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
)

// machine is a node with containers.
type machine struct {
	mu         sync.Mutex
	rootErr    error
	inspectErr error
	answer     discover.Answer
	sourceErr  error
	ended      map[int64]bool
	// ends are closed when a process ends.
	ends map[int64]chan struct{}
}

func (m *machine) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()

	change()
}

func (m *machine) CheckRoot() error {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.rootErr
}

func (m *machine) Inspect(c discover.Container) (resources.TargetSpec, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	return resources.TargetSpec{ContainerID: c.ID, PID: int64(c.PID), Source: c.Source}, m.inspectErr
}

func (m *machine) Alive(spec resources.TargetSpec) bool {
	m.mu.Lock()
	defer m.mu.Unlock()

	return !m.ended[spec.PID]
}

// AwaitEnd cannot know it unless pids are given.
func (m *machine) AwaitEnd(ctx context.Context, spec resources.TargetSpec) error {
	m.mu.Lock()
	end := m.ends[spec.PID]
	m.mu.Unlock()

	if end == nil {
		return errors.New("its end cannot be known")
	}

	select {
	case <-ctx.Done():
	case <-end:
	}

	return nil
}

func (*machine) Name() string { return "machine" }

func (m *machine) Find(context.Context, discover.Selector) (discover.Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	return m.answer, m.sourceErr
}

func running(id string, pid int) discover.Container {
	return discover.Container{Namespace: "spegel", Pod: "spegel-1", Name: "registry", ID: id, PID: pid, Source: "cri"}
}

func TestDiscovery_Find(t *testing.T) {
	unreachable := fmt.Errorf("cri: %w", discover.ErrUnreachable)
	target := config.Default().Target

	for _, test := range []struct {
		name string
		// before is a container that was found earlier, by its labels.
		before  bool
		machine *machine

		found   map[string]string
		reason  string
		message string
	}{
		{name: "found", machine: &machine{answer: discover.Answer{Containers: []discover.Container{running("c1", 10)}}}, found: map[string]string{targetID: "c1"}, reason: resources.ReasonOK},
		{name: "none", machine: &machine{}, reason: resources.ReasonNoTarget, message: `no running container "registry" in a pod with labels`},
		{name: "no hierarchy", machine: &machine{rootErr: cgroup.ErrNotUnified}, reason: resources.ReasonNoCgroup2, message: "needs the node's unified hierarchy"},
		{
			name: "cannot be inspected", machine: &machine{answer: discover.Answer{Containers: []discover.Container{running("c1", 10)}}, inspectErr: errors.New("ended")},
			reason: resources.ReasonNoTarget, message: "container " + targetID + ": ended",
		},
		{name: "no source answers", machine: &machine{sourceErr: unreachable}, reason: resources.ReasonCRI, message: "is the container runtime up"},
		{
			name: "found without labels", machine: &machine{answer: discover.Answer{Containers: []discover.Container{running("c1", 10)}, Unlabelled: unreachable}},
			found: map[string]string{targetID: "c1"}, reason: resources.ReasonCRI, message: "continuing with",
		},
		{
			name: "known without labels", before: true,
			machine: &machine{answer: discover.Answer{Containers: []discover.Container{{Namespace: "x", Pod: "y", Name: "registry", PodUID: "u9", ID: "c9", PID: 9}}, Unlabelled: unreachable}},
			found:   map[string]string{targetID: "c1"}, reason: resources.ReasonCRI,
		},
		{
			name: "restarted without labels", before: true,
			machine: &machine{ended: map[int64]bool{10: true}, answer: discover.Answer{
				// The container shows another name than its pod has.
				Containers: []discover.Container{{Namespace: "x", Pod: "y", Name: "registry", PodUID: "u1", ID: "c2", PID: 11}}, Unlabelled: unreachable,
			}},
			found: map[string]string{targetID: "c2"}, reason: resources.ReasonCRI,
		},
		{
			name: "another process of the pod", before: true,
			machine: &machine{answer: discover.Answer{
				Containers: []discover.Container{{Namespace: "x", Pod: "y", Name: "registry", PodUID: "u1", ID: "c2", PID: 11}}, Unlabelled: unreachable,
			}},
			found: map[string]string{targetID: "c1"}, reason: resources.ReasonCRI,
		},
		{
			name: "two pods of one name",
			machine: &machine{answer: discover.Answer{Containers: []discover.Container{
				{Namespace: "spegel", Pod: "spegel-1", Name: "registry", PodUID: "u1", ID: "c1", PID: 10},
				{Namespace: "spegel", Pod: "spegel-1", Name: "registry", PodUID: "u2", ID: "c2", PID: 11},
			}, Unlabelled: unreachable}},
			found: map[string]string{"spegel/u1/registry": "c1", "spegel/u2/registry": "c2"}, reason: resources.ReasonCRI,
		},
		{
			name: "a name that is none", machine: &machine{answer: discover.Answer{Containers: []discover.Container{{
				Namespace: "spegel", Pod: strings.Repeat("\x1b[31m", 20_000), Name: "registry", ID: "c1", PID: 10,
			}}}},
			reason: resources.ReasonNoTarget, message: "invalid pod",
		},
		{
			name: "skipped", machine: &machine{answer: discover.Answer{Skipped: map[string]error{"c2": errors.New("too large"), "c1": errors.New("no pid")}}},
			reason: resources.ReasonNoTarget, message: `container "c1": no pid` + "\n" + `container "c2": too large`,
		},
		{
			name: "known is skipped", before: true, machine: &machine{answer: discover.Answer{Skipped: map[string]error{"c1": errors.New("too large")}}},
			found: map[string]string{targetID: "c1"}, reason: resources.ReasonOK,
		},
		{
			name: "known is skipped and has ended", before: true,
			machine: &machine{answer: discover.Answer{Skipped: map[string]error{"c1": errors.New("too large")}}, ended: map[int64]bool{10: true}},
			reason:  resources.ReasonNoTarget, message: `container "c1": too large`,
		},
		{
			name: "known has ended", before: true, machine: &machine{sourceErr: unreachable, ended: map[int64]bool{10: true}},
			reason: resources.ReasonCRI, message: "is the container runtime up",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := discovery{node: test.machine, sources: []discover.Source{test.machine}}

			if test.before {
				d.target = target
				d.pods = selectedPods(nil).add([]discover.Container{{Namespace: "spegel", Pod: "spegel-1", PodUID: "u1"}}, time.Now())
				d.known = map[string]resources.TargetSpec{targetID: {ContainerID: "c1", PID: 10}}
			}

			found, reason, message := d.find(t.Context(), target)

			ids := map[string]string{}
			for id, spec := range found {
				ids[id] = spec.ContainerID
			}

			if test.found == nil {
				test.found = map[string]string{}
			}

			assert.Equal(t, test.found, ids)
			assert.Equal(t, test.reason, reason)
			assert.Contains(t, message, test.message)
		})
	}
}

// TestDiscovery_FindsAContainerOnce: procfs finds two processes of one container, the first process first.
func TestDiscovery_FindsAContainerOnce(t *testing.T) {
	for name, pod := range map[string]string{"one name": "spegel-1", "another name of the pod": "other"} {
		t.Run(name, func(t *testing.T) {
			second := running("c1", 11)
			second.Pod = pod

			m := &machine{answer: discover.Answer{Containers: []discover.Container{running("c1", 10), second}, Unlabelled: discover.ErrUnreachable}}
			d := discovery{node: m, sources: []discover.Source{m}}
			found, _, _ := d.find(t.Context(), config.Default().Target)
			assert.Equal(t, map[string]resources.TargetSpec{targetID: {ContainerID: "c1", PID: 10, Source: "cri"}}, found)
		})
	}
}

func TestTargetController_FollowsContainers(t *testing.T) {
	m := &machine{answer: discover.Answer{Containers: []discover.Container{running("c1", 10)}}, ended: map[int64]bool{}}
	events := stream{events: make(chan eventPod)}
	s := newSuite(t, newState(t), &TargetController{Node: m, Sources: []discover.Source{m}, Events: events})
	s.configure("target: {podLabels: {app: spegel}}")

	target := func(container string) {
		await(s, resources.NewTarget(targetID), func(spec resources.TargetSpec) bool { return spec.ContainerID == container })
	}
	pod := eventPod{namespace: "spegel", labels: map[string]string{"app": "spegel"}}

	target("c1")
	await(s, resources.NewCondition(resources.ConditionDiscovery), func(c resources.ConditionSpec) bool { return c.OK })

	// An event of a selected pod asks at once.
	m.set(func() { m.answer.Containers = []discover.Container{running("c2", 20)} })
	events.events <- pod
	target("c2")

	// Without an event it asks when the process has ended.
	m.set(func() { m.answer.Containers, m.ended[20] = nil, true })
	s.gone(resources.NewTarget(targetID))
	await(s, resources.NewCondition(resources.ConditionDiscovery), func(c resources.ConditionSpec) bool { return c.Reason == resources.ReasonNoTarget })

	// Another configuration asks at once.
	m.set(func() { m.answer.Containers = []discover.Container{running("c3", 30)} })
	s.configure("target: {podLabels: {app: mirror}}")
	target("c3")
	require.NotPanics(t, s.end)
}
