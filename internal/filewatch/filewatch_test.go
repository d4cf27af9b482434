// SPDX-License-Identifier: MPL-2.0

//go:build linux

package filewatch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestFollow_Events: each change is read without the fallback.
func TestFollow_Events(t *testing.T) {
	write := func(t *testing.T, path, content string) {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	link := func(t *testing.T, target, path string) {
		require.NoError(t, os.Symlink(target, path+".new"))
		require.NoError(t, os.Rename(path+".new", path))
	}
	mkdir := func(t *testing.T, path string) { require.NoError(t, os.MkdirAll(path, 0o700)) }

	for _, test := range []struct {
		name, file     string
		before, change func(t *testing.T, dir string)
	}{
		{
			name: "written in place", file: "file",
			before: func(t *testing.T, dir string) { write(t, dir+"/file", "old") },
			change: func(t *testing.T, dir string) { write(t, dir+"/file", "new") },
		},
		{
			name: "renamed over", file: "file",
			before: func(t *testing.T, dir string) { write(t, dir+"/file", "old"); write(t, dir+"/next", "new") },
			change: func(t *testing.T, dir string) { require.NoError(t, os.Rename(dir+"/next", dir+"/file")) },
		},
		{
			name: "created", file: "file",
			change: func(t *testing.T, dir string) { write(t, dir+"/file", "new") },
		},
		{
			name: "created with its folders", file: "a/b/file",
			change: func(t *testing.T, dir string) { mkdir(t, dir+"/a/b"); write(t, dir+"/a/b/file", "new") },
		},
		{
			name: "link to a folder of the secret replaced", file: "file",
			before: func(t *testing.T, dir string) {
				mkdir(t, dir+"/..1")
				mkdir(t, dir+"/..2")
				write(t, dir+"/..1/file", "old")
				write(t, dir+"/..2/file", "new")
				link(t, "..1", dir+"/..data")
				link(t, "..data/file", dir+"/file")
			},
			change: func(t *testing.T, dir string) { link(t, "..2", dir+"/..data") },
		},
		{
			name: "folder is a link that is replaced", file: "current/file",
			before: func(t *testing.T, dir string) {
				mkdir(t, dir+"/1")
				mkdir(t, dir+"/2")
				write(t, dir+"/1/file", "old")
				write(t, dir+"/2/file", "new")
				link(t, "1", dir+"/current")
			},
			change: func(t *testing.T, dir string) { link(t, "2", dir+"/current") },
		},
		{
			name: "target of a link written in place", file: "file",
			before: func(t *testing.T, dir string) {
				mkdir(t, dir+"/elsewhere")
				write(t, dir+"/elsewhere/file", "old")
				link(t, "elsewhere/file", dir+"/file")
			},
			change: func(t *testing.T, dir string) { write(t, dir+"/elsewhere/file", "new") },
		},
		{
			name: "folder replaced", file: "folder/file",
			before: func(t *testing.T, dir string) {
				mkdir(t, dir+"/folder")
				mkdir(t, dir+"/next")
				write(t, dir+"/folder/file", "old")
				write(t, dir+"/next/file", "new")
			},
			change: func(t *testing.T, dir string) {
				require.NoError(t, os.RemoveAll(dir+"/folder"))
				require.NoError(t, os.Rename(dir+"/next", dir+"/folder"))
			},
		},
		{
			name: "link behind a link replaced", file: "file",
			before: func(t *testing.T, dir string) {
				mkdir(t, dir+"/elsewhere/1")
				mkdir(t, dir+"/elsewhere/2")
				write(t, dir+"/elsewhere/1/file", "old")
				write(t, dir+"/elsewhere/2/file", "new")
				link(t, "1", dir+"/elsewhere/current")
				link(t, "elsewhere/current/file", dir+"/file")
			},
			change: func(t *testing.T, dir string) { link(t, "2", dir+"/elsewhere/current") },
		},
		{
			name: "target of a link to another folder renamed over", file: "file",
			before: func(t *testing.T, dir string) {
				mkdir(t, dir+"/elsewhere")
				write(t, dir+"/elsewhere/file", "old")
				write(t, dir+"/elsewhere/next", "new")
				link(t, dir+"/elsewhere/file", dir+"/file")
			},
			change: func(t *testing.T, dir string) {
				require.NoError(t, os.Rename(dir+"/elsewhere/next", dir+"/elsewhere/file"))
			},
		},
		{
			name: "folder is a link whose target is created", file: "current/file",
			before: func(t *testing.T, dir string) { link(t, "missing/folder", dir+"/current") },
			change: func(t *testing.T, dir string) {
				mkdir(t, dir+"/missing/folder")
				write(t, dir+"/missing/folder/file", "new")
			},
		},
		{
			name: "link whose target is created", file: "file",
			before: func(t *testing.T, dir string) { link(t, "missing/file", dir+"/file") },
			change: func(t *testing.T, dir string) { mkdir(t, dir+"/missing"); write(t, dir+"/missing/file", "new") },
		},
		{
			name: "folder was a file", file: "folder/file",
			before: func(t *testing.T, dir string) { write(t, dir+"/folder", "no folder") },
			change: func(t *testing.T, dir string) {
				require.NoError(t, os.Remove(dir+"/folder"))
				mkdir(t, dir+"/folder")
				write(t, dir+"/folder/file", "new")
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if test.before != nil {
				test.before(t, dir)
			}

			followed(t, filepath.Join(dir, test.file), func() { test.change(t, dir) })
		})
	}
}

// TestFollow_LinksInCircle: what cannot be followed is an error, which falls back to the interval, not an endless search.
func TestFollow_LinksInCircle(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Symlink("b", dir+"/a"))
	require.NoError(t, os.Symlink("a", dir+"/b"))

	_, err := open([]string{dir + "/a/file"})
	require.ErrorIs(t, err, unix.ELOOP)
}

// TestFollow_Panic: a panic of the read leaves no inotify instance behind.
func TestFollow_Panic(t *testing.T) {
	assert.Panics(t, func() {
		Follow(t.Context(), time.Second, []string{t.TempDir() + "/file"}, func() { panic("read") })
	})

	// goleak: the watcher's goroutine has ended.
	goleak.VerifyNone(t)
}

// TestFollow_BindMount: a file that is mounted from elsewhere is written there, which is no event of the folder of the mount.
func TestFollow_BindMount(t *testing.T) {
	dir := t.TempDir()
	source, mounted := filepath.Join(dir, "source", "file"), filepath.Join(dir, "mounted", "file")

	for _, path := range []string{source, mounted} {
		require.NoError(t, os.Mkdir(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	}

	if err := unix.Mount(source, mounted, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("cannot mount: %v", err)
	}

	t.Cleanup(func() { unix.Unmount(mounted, unix.MNT_DETACH) })

	followed(t, mounted, func() { require.NoError(t, os.WriteFile(source, []byte("new"), 0o600)) })
}

// followed requires that the file is read after a change, until it has the content "new".
func followed(t *testing.T, path string, change func()) {
	t.Helper()

	contents := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})

	go func() {
		defer close(ended)

		Follow(ctx, time.Millisecond, []string{path}, func() {
			content, _ := os.ReadFile(path)
			contents <- string(content)
		})
	}()

	defer func() {
		cancel()
		<-ended
	}()

	require.NotEqual(t, "new", <-contents)
	change()

	// As long as a slow machine may need, but the read at Fallback must not count.
	limit := time.After(Fallback * 3 / 4)

	for {
		select {
		case content := <-contents:
			if content == "new" {
				return
			}
		case <-limit:
			require.Fail(t, "the change is not noticed")
		}
	}
}

// TestFollow_Fallback: without an event the files are read at long intervals, without a watch at the interval.
func TestFollow_Fallback(t *testing.T) {
	for _, test := range []struct {
		name  string
		lost  int
		err   error
		reads int
	}{
		{name: "watched", reads: 10},
		{name: "events were lost", lost: 1, reads: 11},
		{name: "cannot be watched", err: errors.New("too many instances"), reads: 300},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()

				lost := make(chan error, 1)
				for range test.lost {
					lost <- fsnotify.ErrEventOverflow
				}

				reads := 0
				follow(ctx, 2*time.Second, func() (*notifier, error) {
					return &notifier{errors: lost, close: func() error { return nil }}, test.err
				}, func() { reads++ })
				assert.InDelta(t, test.reads, reads, 1)
			})
		})
	}
}

// TestFollow_BusyFolder: events that never end cause one read in the time to settle.
func TestFollow_BusyFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := make(chan fsnotify.Event)
		close(events) // always ready

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()

		reads, opens, closes, watched := 0, 0, 0, time.Duration(0)
		follow(ctx, 5*time.Second, func() (*notifier, error) {
			opened := time.Now()
			opens++

			return &notifier{events: events, close: func() error {
				closes++
				watched += time.Since(opened)

				return nil
			}}, nil
		}, func() { reads++ })
		assert.InDelta(t, 60, reads, 1)
		require.Positive(t, opens)
		assert.Equal(t, opens, closes)
		assert.Zero(t, watched, "the kernel queues no events that nobody waits for")
	})
}
