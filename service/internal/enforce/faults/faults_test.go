// SPDX-License-Identifier: MPL-2.0

//go:build linux && faults

// Package faults kills the guard at the worst moments, again and again, and looks at what it left.
package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/spegel-guard/spegel-guard/internal/boottime"
	"github.com/spegel-guard/spegel-guard/internal/fault"
	"github.com/spegel-guard/spegel-guard/internal/process"
	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/service/internal/enforce"
	"github.com/spegel-guard/spegel-guard/service/internal/persist"
	"github.com/spegel-guard/spegel-guard/test/kernel"
)

const (
	root       = "/sys/fs/cgroup"
	path       = "spegel-guard-faults/victim"
	bystander  = "spegel-guard-faults/bystander"
	target     = "spegel/spegel-x/registry"
	memoryPath = "/tmp/spegel-guard-faults-memory.json"

	trials = 1000
)

// The ways in which things go on after a crash.
const (
	restartOver     = "restart, hold over"
	restartInHold   = "restart in the hold, then release"
	restartObserve  = "restart in mode observe"
	restartRestore  = "restore, the one-shot"
	restartNotFound = "restart in the hold, target not found"
)

// figures are what make faults prints.
type figures struct {
	trials, inForce, journalOnly, clean, ownerWrote int
	wrong, stale, lost                              int
	byPoint, byWay                                  map[string]int
}

// TestKilledAtAnyMoment is kill -9 at every step of enforcement and at random moments in between, and
// every way to go on afterwards: no wrong cpu.max, no wrong burst, no stale journal.
func TestKilledAtAnyMoment(t *testing.T) {
	kernel.Require(t)

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)

	random := rand.New(rand.NewPCG(seed, 0))
	fig := figures{byPoint: map[string]int{}, byWay: map[string]int{}}
	ways := []string{restartOver, restartInHold, restartObserve, restartRestore, restartNotFound}

	makeCgroups(t)

	dir, err := cgroup.Open(root, path)
	require.NoError(t, err)

	defer dir.Close()

	start, err := process.Start("/proc", os.Getpid())
	require.NoError(t, err)

	for range trials {
		way := ways[random.IntN(len(ways))]
		point := pickPoint(random)
		owner, burst := ownerValue(random), ownersBurst(point, random)

		set(t, owner, burst)

		v := victim{Cgroup: path, Inode: dir.ID().Inode, PID: os.Getpid(), Start: start, Seed: random.Uint64(), Hold: time.Hour}

		if way == restartOver {
			v.Hold = 0
		}

		said := v.run(t, point, time.Duration(random.Int64N(int64(30*time.Millisecond))))

		expected := fig.expected(owner, said)
		fig.count(t, dir, point, way)

		if adopted := goOn(t, dir, way); !adopted {
			fig.lost++
		}

		fig.check(t, dir, expected, fmt.Sprintf("killed at %q, then %s, owner %q burst %s, said %v", point, way, owner, burst, said))
	}

	fig.print(t)
	require.Zero(t, fig.wrong, "wrong cpu.max")
	require.Zero(t, fig.stale, "stale journals")
	require.Zero(t, fig.lost, "ceilings in their hold that a restart did not go on with")

	for _, point := range fault.Points() {
		require.NotZero(t, fig.byPoint[point], "no trial ended at %s", point)
	}
}

func makeCgroups(t *testing.T) {
	t.Helper()

	for _, name := range []string{path, bystander} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, name), 0o755))
		t.Cleanup(func() { os.Remove(filepath.Join(root, name)) })
	}

	require.NoError(t, os.WriteFile(filepath.Join(root, filepath.Dir(path), "cgroup.subtree_control"), []byte("+cpu"), 0))
	require.NoError(t, os.WriteFile(filepath.Join(root, bystander, "cpu.max"), []byte("70001 100000"), 0))
}

// ownersBurst is no more than each of the owner's values has room for.
func ownersBurst(point string, random *rand.Rand) string {
	if strings.HasPrefix(point, fault.BurstLowered) || random.IntN(3) == 0 {
		return "30000"
	}

	return "0"
}

// set is what the owner's runtime did at the container's start.
func set(t *testing.T, owner, burst string) {
	t.Helper()

	write(t, "cpu.max.burst", "0")
	write(t, "cpu.max", owner)
	write(t, "cpu.max.burst", burst)
}

func pickPoint(random *rand.Rand) string {
	points := append(fault.Points(), "", "", "", "", "") // a third at random moments
	point := points[random.IntN(len(points))]

	if point == "" {
		return ""
	}

	return point + ":" + strconv.Itoa(random.IntN(4))
}

// expected are the owner's values that may be right: of a write that was begun and not told to have ended, both.
func (f *figures) expected(owner string, said []string) []string {
	expected := []string{owner}

	for _, line := range said {
		what, value, _ := strings.Cut(line, " ")

		switch what {
		case "about":
			expected = append(expected, value)
		case "done":
			f.ownerWrote++

			expected = []string{value}
		}
	}

	return expected
}

func (f *figures) count(t *testing.T, dir *cgroup.Dir, point, way string) {
	t.Helper()

	name, _, _ := strings.Cut(point, ":")
	if name == "" {
		name = "random moment"
	}

	f.trials++
	f.byPoint[name]++
	f.byWay[way]++

	current, err := dir.ReadCPUMax()
	require.NoError(t, err)

	journal, err := dir.ReadJournal()

	switch {
	case err != nil:
		f.clean++
	case journal.Ours(current):
		f.inForce++
	default:
		f.journalOnly++
	}
}

// goOn does what the node does next. It tells false when a ceiling in its hold was not gone on with.
func goOn(t *testing.T, dir *cgroup.Dir, way string) bool {
	t.Helper()

	current, err := dir.ReadCPUMax()
	require.NoError(t, err)

	journal, journalErr := dir.ReadJournal()
	inForce := journalErr == nil && journal.Ours(current)

	switch way {
	case restartRestore:
		_, err := enforce.RestoreAll(theNode())
		require.NoError(t, err)
	case restartOver, restartObserve:
		left, err := enforce.Adopt(theNode(), way == restartObserve, zap.NewNop())
		require.NoError(t, err)
		require.Empty(t, left.Ceilings)
	case restartInHold, restartNotFound:
		left, err := enforce.Adopt(theNode(), false, zap.NewNop())
		require.NoError(t, err)

		orphan, found := left.Ceilings[path]
		if found != inForce {
			return false
		}

		if !found {
			return true
		}

		_, held := left.Holds[target]
		require.True(t, held)

		if way == restartNotFound {
			orphan.Expire(boottime.Now() + 2*time.Minute)
			orphan.Close()

			return true
		}

		claimed := enforce.New(theNode(), enforce.Target{ID: target, Cgroup: path, CgroupInode: dir.ID().Inode})
		claimed.Adopt(orphan)
		claimed.Reconcile(nil, boottime.Now()+2*time.Minute)
		claimed.Close()
	}

	return true
}

// check compares with what the owner wants.
func (f *figures) check(t *testing.T, dir *cgroup.Dir, expected []string, what string) {
	t.Helper()

	current, err := dir.ReadCPUMax()
	require.NoError(t, err)

	if !slices.Contains(expected, current.String()) {
		f.wrong++

		t.Errorf("cpu.max is %q, wanted one of %q: %s", current, expected, what)
	}

	burst, err := dir.ReadBurst()
	require.NoError(t, err)

	if !strings.Contains(what, fmt.Sprintf("burst %d,", burst)) {
		f.wrong++

		t.Errorf("cpu.max.burst is %d: %s", burst, what)
	}

	if found := journals(t); len(found) > 0 {
		f.stale++

		t.Errorf("stale journals %q: %s", found, what)
	}

	other, err := os.ReadFile(filepath.Join(root, bystander, "cpu.max"))
	require.NoError(t, err)
	require.Equal(t, "70001 100000", strings.TrimSpace(string(other)), "a cgroup of somebody else's that looks like a ceiling")

	if remembered, err := (persist.File[persist.Workload]{Path: memoryPath, BootID: theNode().BootID}).Load(); err != nil || len(remembered) > 1 {
		t.Errorf("the memory cannot be read: %v %v", remembered, err)
	}
}

func (f *figures) print(t *testing.T) {
	t.Helper()

	fmt.Printf("\n%d trials of kill -9 in enforcement: %d wrong cpu.max, %d stale journals, %d ceilings lost in their hold\n",
		f.trials, f.wrong, f.stale, f.lost)
	fmt.Printf("  found after the kill: ceiling in force %d, journal without a ceiling %d, nothing %d; %d writes of the owner's meanwhile\n",
		f.inForce, f.journalOnly, f.clean, f.ownerWrote)

	for _, counts := range []map[string]int{f.byPoint, f.byWay} {
		names := make([]string, 0, len(counts))

		for name, n := range counts {
			names = append(names, fmt.Sprintf("%s %d", name, n))
		}

		slices.Sort(names)
		fmt.Printf("  %s\n", strings.Join(names, ", "))
	}
}

func write(t *testing.T, file, value string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(root, path, file), []byte(value), 0))
}
