// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/test/kernel"
	"github.com/spegel-guard/spegel-guard/test/node"
)

const churningPods = 500

// TestGuard_WritesToTargetOnly restarts the container of a workload that has a ceiling, then deletes and re-creates its
// pod. Pods that resemble spegel run beside it, and 500 pods are created and removed. The test compares every cpu.max of
// the node before and after, and audits every write to the hierarchy.
func TestGuard_WritesToTargetOnly(t *testing.T) {
	l := newLoop(t, strings.Replace(longHold, "releaseAfter: 5s", "releaseAfter: 2s", 1), nil)
	ctx := t.Context()

	// Spegel's labels with another container name, and spegel's container name in another pod.
	labelled := node.SpegelPod("spegel-sidecar")
	labelled.Container = "proxy"
	labelled.CPUQuota = 150_000
	runPod(t, l.node, labelled)

	named := node.PodSpec{Name: "registry-0", Namespace: "spegel", Container: "registry", CPUQuota: 60_000}
	runPod(t, l.node, named)

	before, err := node.AllCPUMax()
	require.NoError(t, err)

	audit, err := node.StartAudit()
	require.NoError(t, err)

	targets := map[uint64]string{}
	seen := func() { targets[cgroupInode(t, l.spegel.Cgroup)] = l.spegel.Cgroup }
	seen()

	churn := startChurn(t, churningPods)

	l.runAway(t, l.spegel, l.peer)
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	since := heldSince(t, l)

	require.NoError(t, l.spegel.StopContainer(ctx))
	require.NoError(t, l.spegel.StartContainer(ctx))
	seen()
	waitCPUMax(t, l, l.spegel, ceiling500, patience)

	require.NoError(t, l.spegel.Remove(ctx))
	l.spegel = runPod(t, l.node, l.spegel.Spec)
	seen()
	waitCPUMax(t, l, l.spegel, ceiling500, patience)
	assert.Equal(t, since, heldSince(t, l), "the rule fired again")

	pods, wrong := churn.wait()
	assert.Equal(t, churningPods, pods)
	assert.Empty(t, wrong, "cpu.max of the short-lived pods")

	pid := l.guard.PID()

	l.stop(t)
	require.NoError(t, audit.Stop())

	after, err := node.AllCPUMax()
	require.NoError(t, err)

	for name, value := range before {
		if now, ok := after[name]; ok {
			assert.Equal(t, value, now, name)
		}
	}

	assert.Equal(t, unlimited, after[l.spegel.Cgroup])
	noJournals(t)

	checkAudit(t, audit, pid, targets)
}

// checkAudit: the guard wrote to cpu.max and to the journals of the targets only.
func checkAudit(t *testing.T, audit *node.Audit, pid int, targets map[uint64]string) {
	t.Helper()

	quotas, attributes := 0, 0

	for _, write := range audit.Writes(pid) {
		assert.Contains(t, targets, write.Inode, "a write to another cgroup: %+v", write)

		if write.File == "" {
			attributes++

			continue
		}

		quotas++

		assert.Equal(t, "cpu.max", write.File)
	}

	// The audit must be complete: each ceiling writes a journal and a quota, and the last one is released.
	assert.GreaterOrEqual(t, quotas, len(targets)+1)
	assert.GreaterOrEqual(t, attributes, len(targets)+1)
	assert.Greater(t, audit.Total(), churningPods, "the audit misses writes of other processes")

	t.Logf("%d writes to the hierarchy; by the guard: %d of cpu.max, %d of journals, on %d containers of the target",
		audit.Total(), quotas, attributes, len(targets))
}

// cgroupInode returns the inode of a cgroup's directory.
func cgroupInode(t *testing.T, path string) uint64 {
	t.Helper()

	var stat unix.Stat_t

	require.NoError(t, unix.Stat(filepath.Join(node.CgroupRoot, path), &stat))

	return stat.Ino
}

// churn creates and removes cgroups of pods as kubelet and runc do. A real sandbox takes a second or more on the emulated
// processor, and the guard can only harm the cgroup.
type churn struct {
	done  sync.WaitGroup
	mu    sync.Mutex
	pods  int
	wrong []string
}

// startChurn creates and removes pods in four goroutines.
func startChurn(t *testing.T, pods int) *churn {
	t.Helper()

	c := &churn{}

	for worker := range 4 {
		c.done.Go(func() {
			for n := range pods / 4 {
				err := c.pod(worker*1000+n, 100*time.Millisecond)

				c.mu.Lock()
				c.pods++

				if err != nil {
					c.wrong = append(c.wrong, err.Error())
				}

				c.mu.Unlock()
			}
		})
	}

	return c
}

// pod creates a container's cgroup with a limit, and removes it after a time. It fails if the limit has changed.
func (c *churn) pod(n int, lives time.Duration) error {
	uid, id := make([]byte, 16), make([]byte, 32)
	rand.Read(uid)
	rand.Read(id)

	text := hex.EncodeToString(uid)
	pod := fmt.Sprintf("/kubepods/burstable/pod%s-%s-%s-%s-%s", text[:8], text[8:12], text[12:16], text[16:20], text[20:])
	container := filepath.Join(pod, hex.EncodeToString(id))
	limit := []string{unlimited, ceiling500, fmt.Sprintf("%d 100000", 10_000+n)}[n%3]

	if err := node.MakeCgroup(pod, container); err != nil {
		return err
	}

	if err := node.SetCPUMax(container, limit); err != nil {
		return err
	}

	time.Sleep(lives)

	value, err := node.CPUMax(container)
	if err == nil && value != limit {
		err = fmt.Errorf("cpu.max of %s is %q, expected %q", container, value, limit)
	}

	for _, path := range []string{container, pod} {
		if removeErr := os.Remove(filepath.Join(node.CgroupRoot, path)); err == nil {
			err = removeErr
		}
	}

	return err
}

// wait returns the number of pods and the errors.
func (c *churn) wait() (int, []string) {
	c.done.Wait()

	return c.pods, c.wrong
}

// TestGuard_RecognizesReusedContainerID: a new cgroup has the path and the id of an earlier one. It gets a ceiling if
// spegel runs in it, and none if another program does.
func TestGuard_RecognizesReusedContainerID(t *testing.T) {
	testNode(t)

	const pod = "/kubepods/burstable/pod11111111-2222-3333-4444-555555555555"

	path := filepath.Join(pod, strings.Repeat("ab", 32))
	name := filepath.Join(node.CgroupRoot, path)

	spegel, other := kernel.CopySelf(t, "spegel"), kernel.CopySelf(t, "other")

	remake := func(limit string) {
		os.Remove(name)
		require.NoError(t, node.MakeCgroup(pod, path))
		require.NoError(t, node.SetCPUMax(path, limit))
	}

	read := func() string {
		value, err := node.CPUMax(path)
		require.NoError(t, err)

		return value
	}

	t.Cleanup(func() {
		os.Remove(name)
		os.Remove(filepath.Join(node.CgroupRoot, pod))
	})

	remake(unlimited)

	p := startProcess(t, "-cri", filepath.Join(t.TempDir(), "no.sock"))
	busy := kernel.StartBusyAs(t, spegel, name)

	require.Eventually(t, func() bool { return read() == ceiling500 }, patience, 50*time.Millisecond, "%s", p.log)
	busy.Stop(t)

	first := cgroupInode(t, path)
	remake("80000 100000")
	require.NotEqual(t, first, cgroupInode(t, path))

	busy = kernel.StartBusyAs(t, spegel, name)

	require.Eventually(t, func() bool { return read() == ceiling500 }, patience, 50*time.Millisecond, "%s", p.log)

	busy.Stop(t)
	remake("80000 100000")
	kernel.StartBusyAs(t, other, name)

	p.waitState(t, resources.StateNoCRI)
	time.Sleep(4 * time.Second)
	assert.Equal(t, "80000 100000", read(), "cpu.max of another program with the same path")
	noJournals(t)
}
