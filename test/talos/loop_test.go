// SPDX-License-Identifier: MPL-2.0

package talos_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/test/talos"
)

const (
	unlimited = "max 100000"
	// ceiling150 is a ceiling of 150m with the extra microsecond.
	ceiling150 = "15001 100000"
)

// runPod creates a pod of spegel and waits until the guard has found it by machined.
func (s *scenario) runPod(t *testing.T) {
	t.Helper()

	pod, err := s.node.RunPod(t.Context(), talos.SpegelPod(podName))
	require.NoError(t, err)

	s.pod = pod
	s.steer(t, "idle")

	eventually(t, s.node, "waiting for the target", func(ctx context.Context) error {
		target, err := spec[struct {
			Source      string `yaml:"source"`
			ContainerID string `yaml:"containerID"`
			Cgroup      string `yaml:"cgroup"`
		}](ctx, s.node, "targets", "spegel/"+podName+"/registry")

		switch {
		case err != nil:
			return err
		case target.Source != "machined" || target.ContainerID != pod.ContainerID || "/"+target.Cgroup != pod.Cgroup:
			return fmt.Errorf("target %+v, expected container %s in %s by machined", target, pod.ContainerID, pod.Cgroup)
		default:
			return nil
		}
	})
}

func (s *scenario) steer(t *testing.T, mode string) {
	t.Helper()
	require.NoError(t, s.node.Steer(t.Context(), podName, map[string]any{"mode": mode}))
}

// waitCPUMax waits until the container's cpu.max, read by Talos' own API, has a value.
func (s *scenario) waitCPUMax(t *testing.T, want string) {
	t.Helper()

	eventually(t, s.node, "waiting for cpu.max "+want, func(ctx context.Context) error {
		got, err := s.node.CPUMax(ctx, s.pod)

		switch {
		case err != nil:
			return err
		case got != want:
			return fmt.Errorf("cpu.max is %q", got)
		default:
			return nil
		}
	})
}

func (s *scenario) waitState(t *testing.T, want string) {
	t.Helper()

	eventually(t, s.node, "waiting for the state "+want, func(ctx context.Context) error {
		status, err := spec[struct {
			State   string `yaml:"state"`
			Message string `yaml:"message"`
		}](ctx, s.node, "spegel", "spegel")

		switch {
		case err != nil:
			return err
		case status.State != want:
			return fmt.Errorf("state %q: %s", status.State, status.Message)
		default:
			return nil
		}
	})
}

// closedLoop: a target found by machined runs away and gets a ceiling, which is released after the load has ended.
func (s *scenario) closedLoop(t *testing.T) {
	s.steer(t, "sustained")
	s.waitCPUMax(t, ceiling150)
	s.waitState(t, "throttled")

	s.steer(t, "idle")
	s.waitCPUMax(t, unlimited)
	s.waitState(t, "ok")

	var actions string

	// The release is recorded after the status.
	eventually(t, s.node, "waiting for the recorded release", func(ctx context.Context) (err error) {
		if actions, err = s.node.GuardTalosctl(ctx, "get", "actions"); err == nil && !strings.Contains(actions, "release") {
			err = errors.New("no release is recorded")
		}

		return err
	})
	order(t, actions, "apply", "release")
}

// longHold is a configuration whose hold is longer than the test.
const longHold = "mode: enforce\ninterval: 750ms\n" +
	"rules:\n  - {name: SpegelHighCPU, signal: cpu, threshold: 200m, for: 5s, window: 2s}\n" +
	"ceiling: {cpu: 150m, floor: 100m, hold: 30m, releaseAfter: 2s, probe: 0s}\n"

// stopRestores: talosctl service stop restores the owner's limit.
func (s *scenario) stopRestores(t *testing.T) {
	s.patch(t, document(longHold))
	s.waitConfig(t, config.Path, "enforce", "750ms")
	s.steer(t, "sustained")
	s.waitCPUMax(t, ceiling150)

	talosctl(t, s.node, "service", "ext-spegel-guard", "stop")

	got, err := s.node.CPUMax(t.Context(), s.pod)
	require.NoError(t, err)
	assert.Equal(t, unlimited, got)
}

// restartInsideHold: the hold continues after a restart, so the ceiling is applied again although the load has ended.
func (s *scenario) restartInsideHold(t *testing.T) {
	s.steer(t, "idle")
	talosctl(t, s.node, "service", "ext-spegel-guard", "start")
	s.waitCPUMax(t, ceiling150)
	waitReady(t, s.node)

	// A new document changes the hold of later ceilings only. An override releases this one, and ends its hold at the next sample.
	out := ctl(t, s.node, "release", "--for", "1h", "--reason", "the test goes on")
	assert.Contains(t, out, "release")
	s.waitCPUMax(t, unlimited)
}
