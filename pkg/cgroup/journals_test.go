// SPDX-License-Identifier: MPL-2.0

//go:build linux

package cgroup_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/test/kernel"
)

// hierarchy is a directory in place of the root of a hierarchy.
func hierarchy(t *testing.T) string {
	t.Helper()

	name := t.TempDir()

	if err := unix.Setxattr(name, "trusted.spegelguard", nil, 0); err != nil {
		t.Skipf("only CAP_SYS_ADMIN can write a journal, and not to every file system: %v", err)
	}

	require.NoError(t, unix.Removexattr(name, "trusted.spegelguard"))

	return name
}

// makeBelow makes a directory with the names below each other, with a journal on the last one if there is one, and returns
// its path. It works at any depth, and so does the removal at the end of the test. A cgroup delegates cpu to the next one.
func makeBelow(t *testing.T, root string, journal []byte, names ...string) string {
	t.Helper()

	fd, err := unix.Open(root, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)

	for _, name := range names {
		above := fd

		if control, err := unix.Openat(above, "cgroup.subtree_control", unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
			_, err = unix.Write(control, []byte("+cpu"))
			require.NoError(t, errors.Join(err, unix.Close(control)))
		}

		made := unix.Mkdirat(above, name, 0o755)
		if !errors.Is(made, unix.EEXIST) {
			require.NoError(t, made)
		}

		t.Cleanup(func() {
			if made == nil {
				unix.Unlinkat(above, name, unix.AT_REMOVEDIR)
			}

			unix.Close(above)
		})

		fd, err = unix.Openat(above, name, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
	}

	if journal != nil {
		require.NoError(t, unix.Fsetxattr(fd, "trusted.spegelguard", journal, 0))
	}

	require.NoError(t, unix.Close(fd))

	return strings.Join(names, "/")
}

// deep are the names of cgroups whose path is longer than the kernel takes at once.
func deep() []string {
	names := make([]string, 18)
	for i := range names {
		names[i] = fmt.Sprintf("%02d%s", i, strings.Repeat("x", 238))
	}

	return names
}

func TestFindJournals_HoweverDeep(t *testing.T) {
	root := hierarchy(t)

	makeBelow(t, root, nil, "without")

	want := []string{
		makeBelow(t, root, []byte("j"), "kubepods"),
		makeBelow(t, root, []byte("j"), "kubepods", "pod1", "c1"),
		makeBelow(t, root, []byte("j"), deep()...),
		makeBelow(t, root, []byte("j"), deep()[:3]...),
	}
	require.Greater(t, len(want[2]), unix.PathMax)

	found, err := cgroup.FindJournals(root)
	require.NoError(t, err)
	assert.ElementsMatch(t, want, found)

	_, err = cgroup.Open(root, want[2])
	require.ErrorContains(t, err, "is not on a cgroup2 file system", "it was opened")

	for _, path := range []string{want[2] + "/none", want[2] + "/../none", strings.Repeat("x", 2*unix.PathMax)} {
		_, err = cgroup.Open(root, path)
		require.ErrorContains(t, err, "error opening cgroup")
	}
}

// TestFindJournals_BoundsTheDepth: what is nested without end costs itself, and an error that people can read.
func TestFindJournals_BoundsTheDepth(t *testing.T) {
	root := hierarchy(t)
	want := makeBelow(t, root, []byte("j"), "kubepods")

	var names []string

	for range 200 {
		names = append(names, strings.Repeat("x", 240))
	}

	makeBelow(t, root, []byte("j"), names...)

	found, err := cgroup.FindJournals(root)
	assert.Equal(t, []string{want}, found)
	require.ErrorContains(t, err, "nested in more than 128 levels")
	assert.Less(t, len(err.Error()), 1000)
}

// TestFindJournals_NamesWhatItCannotRead runs without the capability to open any directory.
func TestFindJournals_NamesWhatItCannotRead(t *testing.T) {
	root := hierarchy(t)

	for name := root; name != os.TempDir() && name != "/"; name = filepath.Dir(name) {
		require.NoError(t, os.Chmod(name, 0o755))
	}

	want := []string{makeBelow(t, root, []byte("j"), "readable", "a"), makeBelow(t, root, []byte("j"), "z")}

	for i := range 10 {
		locked := makeBelow(t, root, nil, fmt.Sprintf("locked%d", i))
		makeBelow(t, root, []byte("j"), locked, "hidden")
		require.NoError(t, os.Chmod(filepath.Join(root, locked), 0))
	}

	var (
		found []string
		err   error
	)

	done := make(chan struct{})

	go func() {
		defer close(done)

		// The thread ends with the goroutine, so no other one runs as this user.
		runtime.LockOSThread()

		if _, err = unix.SetfsuidRetUid(65534); err == nil {
			found, err = cgroup.FindJournals(root)
		}
	}()

	<-done

	require.ErrorIs(t, err, unix.EACCES)
	require.ErrorContains(t, err, filepath.Join(root, "locked"))
	require.ErrorContains(t, err, "in 2 more cgroups")
	assert.ElementsMatch(t, want, found)

	_, err = cgroup.FindJournals(filepath.Join(root, "none"))
	require.ErrorIs(t, err, unix.ENOENT)
}

// TestFindJournals_WhileCgroupsEnd: a cgroup that is removed during the search is no failure of it.
func TestFindJournals_WhileCgroupsEnd(t *testing.T) {
	root := hierarchy(t)
	want := makeBelow(t, root, []byte("j"), "kubepods", "pod1", "c1")

	stop, ended := make(chan struct{}), make(chan struct{})

	go func() {
		defer close(ended)

		for {
			select {
			case <-stop:
				return
			default:
			}

			for i := range 20 {
				os.MkdirAll(filepath.Join(root, fmt.Sprint(i), "a", "b"), 0o755)
			}

			for i := range 20 {
				os.RemoveAll(filepath.Join(root, fmt.Sprint(i)))
			}
		}
	}()

	for range 200 {
		found, err := cgroup.FindJournals(root)
		assert.NoError(t, err)
		assert.Equal(t, []string{want}, found)
	}

	close(stop)
	<-ended
}

// TestFindJournals_AppliesAndRestoresDeep has a ceiling on a cgroup of the real kernel that no path reaches.
func TestFindJournals_AppliesAndRestoresDeep(t *testing.T) {
	kernel.Require(t)

	path := makeBelow(t, root, nil, append([]string{"spegel-guard-test"}, deep()...)...)

	dir, err := cgroup.Open(root, path)
	require.NoError(t, err)

	defer dir.Close()

	_, err = dir.Apply(journal("max 100000", "50001 100000"))
	require.NoError(t, err)

	found, err := cgroup.FindJournals(root)
	require.NoError(t, err)
	require.Equal(t, []string{path}, found)

	again, err := cgroup.Open(root, found[0])
	require.NoError(t, err)

	defer again.Close()

	assert.Equal(t, dir.ID(), again.ID())

	j, err := again.ReadJournal()
	require.NoError(t, err)

	after, err := again.Restore(j)
	require.NoError(t, err)
	assert.Equal(t, "max 100000", after.String())

	found, err = cgroup.FindJournals(root)
	require.NoError(t, err)
	assert.Empty(t, found)
}
