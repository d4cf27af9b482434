// SPDX-License-Identifier: MPL-2.0

//go:build linux

package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/spegel-guard/spegel-guard/internal/task"
)

// errOther reports that a pid belongs to another process.
var errOther = errors.New("the pid is that of another process")

// AwaitEnd waits until the process that started at start has ended, or the context ends (pidfd_open(2)). It returns nil in both
// cases, and an error if the end cannot be known: proc is another pid namespace's, as in the service on Talos, or the process has
// ended before. A process ends with its last thread. Until then procfs may show it as a zombie.
func AwaitEnd(ctx context.Context, proc string, pid int, start uint64) error {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("failed to open process %d: %w", pid, err)
	}

	file := os.NewFile(uintptr(fd), "pidfd")
	defer file.Close() //nolint:errcheck // only a reference

	if err := verify(proc, fd, pid, start); err != nil {
		return fmt.Errorf("failed to open process %d: %w", pid, err)
	}

	conn, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("failed to wait for process %d: %w", pid, err)
	}

	defer context.AfterFunc(ctx, func() {
		task.Do("end the wait for a process", func() { file.Close() }) //nolint:errcheck // only a reference
	})()

	// A pidfd is readable once the process has ended. No goroutine and no thread runs until then.
	if err := conn.Read(ended); err != nil && ctx.Err() == nil {
		return fmt.Errorf("failed to wait for process %d: %w", pid, err)
	}

	return nil
}

// verify checks that a pidfd is that of the process that proc shows, which may be of another pid namespace.
func verify(proc string, fd, pid int, start uint64) error {
	info, err := os.ReadFile(filepath.Join(proc, "self", "fdinfo", strconv.Itoa(fd)))
	if err != nil {
		return err
	}

	if !bytes.Contains(info, fmt.Appendf(nil, "\nPid:\t%d\n", pid)) {
		return errOther
	}

	if now, err := Start(proc, pid); err != nil || now != start {
		return errors.Join(errOther, err)
	}

	return nil
}

func ended(fd uintptr) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)

	return n > 0 && err == nil
}
