// SPDX-License-Identifier: MPL-2.0

// Package process identifies processes across the reuse of pids and detects those that end. See proc_pid_stat(5) and
// proc_pid_status(5).
package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrMalformed reports that a file of procfs does not have its documented form.
var ErrMalformed = errors.New("malformed")

// Start returns when a process started, in clock ticks after boot. A process that reuses a pid has another start.
func Start(proc string, pid int) (uint64, error) {
	data, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, fmt.Errorf("failed to read process %d: %w", pid, err)
	}

	start, err := parseStart(data)
	if err != nil {
		return 0, fmt.Errorf("failed to read process %d: %w", pid, err)
	}

	return start, nil
}

// ticksPerSecond is USER_HZ. It is 100 on every architecture that Talos runs on.
const ticksPerSecond = 100

// SinceBoot returns the start of a process as time since boot (CLOCK_BOOTTIME).
func SinceBoot(start uint64) time.Duration {
	return time.Duration(start) * (time.Second / ticksPerSecond)
}

func parseStart(stat []byte) (uint64, error) {
	// The second field is the command in parentheses, which may itself hold blanks and parentheses.
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))

	const startTime = 22 - 3

	if end < 0 || len(fields) <= startTime {
		return 0, fmt.Errorf("stat: %w", ErrMalformed)
	}

	return strconv.ParseUint(fields[startTime], 10, 64)
}

// Ending reports whether the process that started at start has ended, or has a signal pending that ends it. It returns false
// when procfs cannot be read.
func Ending(proc string, pid int, start uint64) bool {
	now, err := Start(proc, pid)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) || err == nil && now != start {
		return true
	}

	status, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "status"))

	return err == nil && endingStatus(status)
}

// LeadsNamespace reports whether the process is the first of a pid namespace below the one that procfs shows: when it ends, the kernel
// ends all others in that namespace (pid_namespaces(7)).
func LeadsNamespace(proc string, pid int) (bool, error) {
	status, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "status"))
	if err != nil {
		return false, fmt.Errorf("failed to read process %d: %w", pid, err)
	}

	for line := range bytes.Lines(status) {
		// Its pids, from the namespace of procfs to its own.
		if pids, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			all := strings.Fields(string(pids))

			return len(all) > 1 && all[len(all)-1] == "1", nil
		}
	}

	return false, fmt.Errorf("failed to read process %d: status: %w: no NSpid", pid, ErrMalformed)
}

// fatal is the signal mask of the signals with which runtimes end a container.
const fatal uint64 = 1<<(syscall.SIGKILL-1) | 1<<(syscall.SIGTERM-1) | 1<<(syscall.SIGINT-1) | 1<<(syscall.SIGQUIT-1)

func endingStatus(status []byte) bool {
	for line := range bytes.Lines(status) {
		key, value, _ := strings.Cut(string(bytes.TrimSpace(line)), ":")
		value = strings.TrimSpace(value)

		switch key {
		case "State":
			if strings.HasPrefix(value, "Z") || strings.HasPrefix(value, "X") {
				return true
			}
		case "SigPnd", "ShdPnd":
			if mask, err := strconv.ParseUint(value, 16, 64); err == nil && mask&fatal != 0 {
				return true
			}
		}
	}

	return false
}
