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

// TestNothingElseIsWrittenTo follows a capped workload through a container's restart and its pod's
// deletion and re-creation, beside look-alikes and 500 pods that come and go. Two proofs: every cpu.max on
// the node before and after, and an audit of every write to the hierarchy.
func TestNothingElseIsWrittenTo(t *testing.T) {
	l := newLoop(t, strings.Replace(longHold, "releaseAfter: 5s", "releaseAfter: 2s", 1), nil)
	ctx := t.Context()

	// Look-alikes: spegel's labels on another container, spegel's container name in another pod.
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
	waitCPUMax(t, l, l.spegel, capped, patience)

	since := heldSince(t, l)

	require.NoError(t, l.spegel.StopContainer(ctx))
	require.NoError(t, l.spegel.StartContainer(ctx))
	seen()
	waitCPUMax(t, l, l.spegel, capped, patience)

	require.NoError(t, l.spegel.Remove(ctx))
	l.spegel = runPod(t, l.node, l.spegel.Spec)
	seen()
	waitCPUMax(t, l, l.spegel, capped, patience)
	assert.Equal(t, since, heldSince(t, l), "the rule did not have to fire again")

	pods, wrong := churn.wait()
	assert.Equal(t, churningPods, pods)
	assert.Empty(t, wrong, "cpu.max of pods that came and went")

	pid := l.guard.PID()

	_, _, err = l.guard.Stop(ctx)
	require.NoError(t, err)
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

// checkAudit: the guard wrote to the containers' cpu.max and to their journals, and to nothing else.
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

	// A write that the audit missed would make it worth nothing: each ceiling has a journal and a quota,
	// and the last was lifted.
	assert.GreaterOrEqual(t, quotas, len(targets)+1)
	assert.GreaterOrEqual(t, attributes, len(targets)+1)
	assert.Greater(t, audit.Total(), churningPods, "others' writes are seen, too")

	t.Logf("%d writes to the hierarchy were seen; the guard's: %d of cpu.max, %d of journals, all on %d containers of the target",
		audit.Total(), quotas, attributes, len(targets))
}

func cgroupInode(t *testing.T, path string) uint64 {
	t.Helper()

	var stat unix.Stat_t

	require.NoError(t, unix.Stat(filepath.Join(node.CgroupRoot, path), &stat))

	return stat.Ino
}

// churn makes pods as kubelet and runc make them in the hierarchy, and takes them away again. A real
// sandbox takes a second or more on the emulated processor; what the guard could do harm to is the cgroup.
type churn struct {
	done  sync.WaitGroup
	mu    sync.Mutex
	pods  int
	wrong []string
}

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

// pod lives for a while with a limit of its own.
func (c *churn) pod(n int, lives time.Duration) error {
	uid, id := make([]byte, 16), make([]byte, 32)
	rand.Read(uid)
	rand.Read(id)

	text := hex.EncodeToString(uid)
	pod := fmt.Sprintf("/kubepods/burstable/pod%s-%s-%s-%s-%s", text[:8], text[8:12], text[12:16], text[16:20], text[20:])
	container := filepath.Join(pod, hex.EncodeToString(id))
	limit := []string{unlimited, capped, fmt.Sprintf("%d 100000", 10_000+n)}[n%3]

	if err := node.MakeCgroup(pod, container); err != nil {
		return err
	}

	if err := node.SetCPUMax(container, limit); err != nil {
		return err
	}

	time.Sleep(lives)

	value, err := node.CPUMax(container)
	if err == nil && value != limit {
		err = fmt.Errorf("%s reads %q, it was given %q", container, value, limit)
	}

	for _, path := range []string{container, pod} {
		if removeErr := os.Remove(filepath.Join(node.CgroupRoot, path)); err == nil {
			err = removeErr
		}
	}

	return err
}

func (c *churn) wait() (int, []string) {
	c.done.Wait()

	return c.pods, c.wrong
}

// TestAReusedContainerID: the same path, the same id, another cgroup. The workload's is capped as its
// own; somebody else's is left alone.
func TestAReusedContainerID(t *testing.T) {
	theTestNode(t)

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

	require.Eventually(t, func() bool { return read() == capped }, patience, 50*time.Millisecond, "%s", p.log)
	busy.Stop(t)

	first := cgroupInode(t, path)
	remake("80000 100000")
	require.NotEqual(t, first, cgroupInode(t, path))

	busy = kernel.StartBusyAs(t, spegel, name)

	require.Eventually(t, func() bool { return read() == capped }, patience, 50*time.Millisecond, "%s", p.log)

	busy.Stop(t)
	remake("80000 100000")
	kernel.StartBusyAs(t, other, name)

	p.waitState(t, resources.StateNoCRI)
	time.Sleep(4 * time.Second)
	assert.Equal(t, "80000 100000", read(), "another program in the same place")
	noJournals(t)
}
