// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/protobuf/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/spegel-guard/spegel-guard/extension"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// process is the guard as a process of the test, so that the test can remove and restore what it needs of the node.
type process struct {
	cmd *exec.Cmd
	log *node.LogBuffer
	st  state.State
	// guard is a client of its GuardService on the unix socket.
	guard guardv1alpha1.GuardServiceClient
	// document is the path of its configuration.
	document string
}

// startProcess starts the guard with more flags and stops it at the end of the test.
func startProcess(t *testing.T, args ...string) *process {
	t.Helper()

	dir := t.TempDir()
	document := filepath.Join(dir, "config.yaml")
	socket := filepath.Join(dir, "guard.sock")

	require.NoError(t, os.WriteFile(document, []byte(fast), 0o600))

	p := &process{log: &node.LogBuffer{}, document: document}
	p.cmd = exec.Command(extension.BinaryPath, append([]string{
		"-config", document, "-socket", socket, "-state", filepath.Join(dir, "state.json"),
	}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log

	require.NoError(t, p.cmd.Start())

	t.Cleanup(func() {
		p.cmd.Process.Signal(syscall.SIGTERM)
		assert.NoError(t, p.cmd.Wait(), "the guard failed: %s", p.log)

		noPanic(t, p.log)

		if t.Failed() {
			t.Logf("--- guard ---\n%s", p.log)
		}
	})

	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })

	p.st = state.WrapCore(client.NewAdapter(v1alpha1.NewStateClient(conn)))
	p.guard = guardv1alpha1.NewGuardServiceClient(conn)

	return p
}

// configure replaces the document. The guard never reads a part of it.
func (p *process) configure(t *testing.T, document string) {
	t.Helper()

	next := p.document + ".next"
	require.NoError(t, os.WriteFile(next, []byte(document), 0o600))
	require.NoError(t, os.Rename(next, p.document))
}

func (p *process) waitState(t *testing.T, want string) resources.GuardStatusSpec {
	t.Helper()

	return p.waitStatus(t, "state "+want, func(status resources.GuardStatusSpec) bool { return status.State == want })
}

// waitStatus waits for a status that matches. The state, and what the message is about, may change one after the other.
func (p *process) waitStatus(t *testing.T, what string, match func(resources.GuardStatusSpec) bool) resources.GuardStatusSpec {
	t.Helper()

	var last resources.GuardStatusSpec

	require.Eventually(t, func() bool {
		status, err := safe.StateGetByID[*resources.GuardStatus](t.Context(), p.st, resources.GuardStatusID)
		if err != nil {
			return false
		}

		last = *status.TypedSpec()

		return match(last)
	}, patience, 100*time.Millisecond, "expected %s, got %+v\n%s", what, &last, p.log)

	return last
}

// TestGuard_WaitsForTarget: the state is no-target until a container is selected, and again after it is gone.
func TestGuard_WaitsForTarget(t *testing.T) {
	n := testNode(t)
	p := startProcess(t)

	p.waitStatus(t, "the missing target", func(status resources.GuardStatusSpec) bool {
		return status.State == resources.StateNoTarget && strings.Contains(status.Message, `no running container "registry"`)
	})

	pod := runPod(t, n, node.SpegelPod("spegel-late"))
	status := p.waitState(t, resources.StateOK)
	assert.Equal(t, "spegel/spegel-late/registry", status.Target)

	require.NoError(t, pod.Remove(t.Context()))
	p.waitState(t, resources.StateNoTarget)
}

// TestGuard_FindsTargetWithoutCRI: without the CRI the target is found in procfs. The CRI is used as soon as it answers.
func TestGuard_FindsTargetWithoutCRI(t *testing.T) {
	n := testNode(t)
	socket := filepath.Join(t.TempDir(), "cri.sock")
	p := startProcess(t, "-cri", socket)

	status := p.waitState(t, resources.StateNoCRI)
	assert.Contains(t, status.Message, socket)

	pod := runPod(t, n, node.SpegelPod("spegel-seen"))
	status = p.waitState(t, resources.StateOK)
	assert.Contains(t, status.Message, socket, "the message names the CRI's socket")

	target := onlyTarget(t, p)
	assert.Equal(t, "procfs", target.Source)
	assert.Equal(t, pod.ContainerID, target.ContainerID)
	assert.Equal(t, strings.TrimPrefix(pod.Cgroup, "/"), target.Cgroup)

	require.NoError(t, os.Symlink(node.Socket, socket))

	require.Eventually(t, func() bool { return onlyTarget(t, p).Source == "cri" }, patience, 100*time.Millisecond)
	p.waitStatus(t, "no message", func(status resources.GuardStatusSpec) bool {
		return status.State == resources.StateOK && status.Message == ""
	})
}

// onlyTarget returns the spec of the target if there is exactly one.
func onlyTarget(t *testing.T, p *process) resources.TargetSpec {
	t.Helper()

	targets, err := safe.StateListAll[*resources.Target](t.Context(), p.st)
	require.NoError(t, err)

	if targets.Len() != 1 {
		return resources.TargetSpec{}
	}

	return *targets.Get(0).TypedSpec()
}

// TestGuard_WaitsForCgroup2: another file system is mounted in place of the hierarchy at first.
func TestGuard_WaitsForCgroup2(t *testing.T) {
	n := testNode(t)
	root := t.TempDir()

	require.NoError(t, unix.Mount("tmpfs", root, "tmpfs", 0, ""))
	t.Cleanup(func() { unix.Unmount(root, unix.MNT_DETACH) })

	runPod(t, n, node.SpegelPod("spegel-nocg"))

	p := startProcess(t, "-cgroup", root)
	status := p.waitState(t, resources.StateNoCgroup2)
	assert.Contains(t, status.Message, "not a cgroup2 file system")

	// It is busy while the guard looks at it.
	require.EventuallyWithT(t, func(t *assert.CollectT) { require.NoError(t, unix.Unmount(root, 0)) }, patience, 10*time.Millisecond)
	require.NoError(t, unix.Mount(node.CgroupRoot, root, "", unix.MS_BIND, ""))
	p.waitState(t, resources.StateOK)
}

// TestGuard_ObservesWithoutWritePermission: with a read-only hierarchy the guard observes and reports no-permission,
// before and during a breach. When the hierarchy is writable again, it applies the ceiling.
func TestGuard_ObservesWithoutWritePermission(t *testing.T) {
	n := testNode(t)
	root := t.TempDir()

	require.NoError(t, unix.Mount(node.CgroupRoot, root, "", unix.MS_BIND, ""))
	t.Cleanup(func() { unix.Unmount(root, unix.MNT_DETACH) })
	require.NoError(t, unix.Mount("", root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))

	l := &loop{
		node: n, spegel: runPod(t, n, node.SpegelPod("spegel-ro")),
		peer: runPod(t, n, node.PodSpec{Name: "bystander", Namespace: "default", Container: "app"}),
	}

	p := startProcess(t, "-cgroup", root)
	status := p.waitState(t, resources.StateNoPermission)
	assert.Contains(t, status.Message, "only observing")
	checkReadOnlyDoctor(t, p)

	l.runAway(t, l.spegel, l.peer)

	require.Eventually(t, func() bool {
		specs, err := safe.StateListAll[*resources.DesiredCeiling](t.Context(), p.st)

		return err == nil && specs.Len() == 1 && !specs.Get(0).TypedSpec().None()
	}, patience, 100*time.Millisecond, "no ceiling is desired")

	time.Sleep(2 * time.Second)
	assert.Equal(t, unlimited, cpuMax(t, l.spegel))
	assert.Contains(t, p.waitState(t, resources.StateNoPermission).Message, "only observing", "the message during the breach")

	require.NoError(t, unix.Mount("", root, "", unix.MS_BIND|unix.MS_REMOUNT, ""))

	require.Eventually(t, func() bool { return cpuMax(t, l.spegel) == ceiling500 }, patience, 100*time.Millisecond, "%s", p.log)
	p.waitState(t, resources.StateThrottled)
}

// TestConfig_ChangesCeilingInForce: a changed document replaces the ceiling in force, mode observe releases it, and an
// invalid document changes nothing.
func TestConfig_ChangesCeilingInForce(t *testing.T) {
	n := testNode(t)
	l := &loop{
		node: n, spegel: runPod(t, n, node.SpegelPod("spegel-cfg")),
		peer: runPod(t, n, node.PodSpec{Name: "bystander", Namespace: "default", Container: "app"}),
	}
	p := startProcess(t)

	becomes := func(want string) {
		require.Eventually(t, func() bool { return cpuMax(t, l.spegel) == want }, patience, 50*time.Millisecond, "%s\n%s", want, p.log)
	}

	p.waitState(t, resources.StateOK)
	l.runAway(t, l.spegel, l.peer)
	becomes(ceiling500)

	p.configure(t, strings.Replace(fast, "cpu: 500m", "cpu: 300m", 1))
	becomes("30001 100000")

	p.configure(t, "mode: destroy"+fast)
	require.Eventually(t, func() bool {
		active, err := safe.StateGetByID[*resources.GuardConfig](t.Context(), p.st, resources.GuardConfigID)

		return err == nil && strings.Contains(active.TypedSpec().LastError, "destroy")
	}, patience, 100*time.Millisecond, "the invalid document is not reported\n%s", p.log)
	time.Sleep(2 * time.Second)
	assert.Equal(t, "30001 100000", cpuMax(t, l.spegel), "the last good configuration stays in force")

	p.configure(t, "mode: observe\n"+fast)
	becomes(unlimited)
}

// TestGuard_EnforcesWithoutContainerd: the ceiling is applied while containerd is stopped, and released after its restart.
func TestGuard_EnforcesWithoutContainerd(t *testing.T) {
	n := testNode(t)
	pod := runPod(t, n, node.SpegelPod("spegel-cri-gone"))
	bystander := runPod(t, n, node.PodSpec{Name: "bystander", Namespace: "default", Container: "app"})
	l := &loop{node: n, spegel: pod, peer: bystander}

	p := startProcess(t)
	p.waitState(t, resources.StateOK)
	require.Eventually(t, func() bool { return onlyTarget(t, p).Source == "cri" }, patience, 100*time.Millisecond, "%s", p.log)

	require.NoError(t, n.StopContainerd())

	l.runAway(t, pod, bystander)
	require.Eventually(t, func() bool { return cpuMax(t, pod) == ceiling500 }, patience, 100*time.Millisecond, "no ceiling without the runtime\n%s", p.log)
	assert.Equal(t, "cri", onlyTarget(t, p).Source, "the targets of the CRI are kept")

	require.NoError(t, n.StartContainerd(context.Background()))
	l.calm(t, pod)
	require.Eventually(t, func() bool { return cpuMax(t, pod) == unlimited }, patience, 100*time.Millisecond, "%s", p.log)
}

// TestBadConfig_KeepsServiceRunning: an invalid document results in mode observe. The condition and the last line of the
// log name the field, its value and what is allowed.
func TestBadConfig_KeepsServiceRunning(t *testing.T) {
	n := testNode(t)

	for document, want := range map[string]string{
		"interval: 5ms":                  `invalid interval "5ms": must be a duration of 100ms..1m`,
		"mode: [":                        `failed to parse YAML`,
		"ceiling: {cpu: 50m}":            `invalid ceiling.cpu "50m": must be a number of cores such as 500m (100m..1024)`,
		"rules: [{name: X, signal: io}]": `invalid rules[0].signal "io": must be cpu, networkTx`,
	} {
		t.Run(document, func(t *testing.T) {
			s := serve(t, n, extension.ServicePath, document)
			s.diagnoses(t, strings.ReplaceAll(want, `"`, `\"`))

			active := s.config(t)
			assert.Equal(t, "observe", active.Mode)
			assert.Contains(t, active.LastError, want)
			assert.Contains(t, active.LastError, config.Path)

			condition, err := safe.StateGetByID[*resources.Condition](t.Context(), s.st, resources.ConditionConfig)
			require.NoError(t, err)
			assert.Equal(t, resources.ReasonBadConfig, condition.TypedSpec().Reason)
			assert.Contains(t, condition.TypedSpec().Message, want)

			s.stops(t)
		})
	}
}
