// SPDX-License-Identifier: MPL-2.0

//go:build linux

// Package watcher runs programs that watch containers, each in its own cgroup, and measures what they use.
package watcher

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/test/bench/result"
	"github.com/spegel-guard/spegel-guard/test/node"
)

// Watcher is a program that watches containers, in its own cgroup.
type Watcher struct {
	// Who is its name in the results.
	Who string
	// Path of the cgroup, relative to the root.
	Path string
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan error
}

// Start runs a program in its own cgroup from its first instruction on.
func Start(ctx context.Context, who string, args ...string) (*Watcher, error) {
	w := &Watcher{Who: who, Path: "bench-" + strings.Map(plain, who)}

	inside, err := MakeCgroup(w.Path)
	if err != nil {
		return nil, err
	}

	defer inside.Close() //nolint:errcheck // read only

	w.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	w.cmd.Stdout, w.cmd.Stderr = &w.log, &w.log
	w.cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(inside.Fd())}

	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("failed to start %s: %w", who, err)
	}

	w.done = make(chan error, 1)

	go func() { w.done <- w.cmd.Wait() }()

	return w, nil
}

// MakeCgroup makes a cgroup, whose path is relative to the root, and opens it for syscall.SysProcAttr.
func MakeCgroup(path string) (*os.File, error) {
	dir := filepath.Join(node.CgroupRoot, path)

	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}

	return os.Open(dir)
}

// plain keeps what a name of a cgroup should have.
func plain(r rune) rune {
	if r == ' ' || r == '/' || r == '\'' || r == ',' {
		return '-'
	}

	return r
}

// Log returns what the program has printed.
func (w *Watcher) Log() string { return w.log.String() }

// Remove stops the program and removes its cgroup.
func (w *Watcher) Remove() error {
	if err := w.Stop(); err != nil {
		return err
	}

	return os.Remove(filepath.Join(node.CgroupRoot, w.Path))
}

// Stop ends the program. It returns an error if the program has ended before, because the measurement is void then.
func (w *Watcher) Stop() error {
	if w.cmd == nil {
		return nil
	}

	select {
	case err := <-w.done:
		return fmt.Errorf("%s ended during the measurement: %w\n%s", w.Who, err, w.log.String())
	default:
	}

	if err := w.cmd.Process.Kill(); err != nil {
		return err
	}

	<-w.done

	return nil
}

// processor returns the CPU time that its cgroup has used.
func (w *Watcher) processor() (time.Duration, error) {
	data, err := os.ReadFile(filepath.Join(node.CgroupRoot, w.Path, "cpu.stat"))
	if err != nil {
		return 0, err
	}

	stat, err := cgroup.ParseCPUStat(data)

	return time.Duration(stat.UsageUsec) * time.Microsecond, err
}

// Memory returns the resident memory of its processes.
func (w *Watcher) Memory() (found result.Memory, err error) {
	procs, err := os.ReadFile(filepath.Join(node.CgroupRoot, w.Path, "cgroup.procs"))
	if err != nil {
		return found, err
	}

	for pid := range strings.FieldsSeq(string(procs)) {
		status, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
		if err != nil {
			return found, err
		}

		found.RSSMiB += mebibytes(status, "VmRSS:")
		found.AnonymousMiB += mebibytes(status, "RssAnon:")
		found.PeakMiB += mebibytes(status, "VmHWM:")
	}

	return found, nil
}

func mebibytes(status []byte, field string) float64 {
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, field); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(value)[0], 64) // the kernel writes a number

			return kib / 1024
		}
	}

	return 0
}
