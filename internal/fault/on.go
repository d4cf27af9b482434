// SPDX-License-Identifier: MPL-2.0

//go:build faults

package fault

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	enabled, countdown = parse(os.Getenv(Env))
	left               atomic.Int64
)

func init() { left.Store(countdown) }

func parse(text string) (string, int64) {
	point, count, _ := strings.Cut(text, ":")
	n, _ := strconv.ParseInt(count, 10, 64) // no count is the first time

	return point, n
}

// Point ends the process as kill -9 would, when this is the point it was told to end at.
func Point(name string) {
	if !due(name) {
		return
	}

	syscall.Kill(os.Getpid(), syscall.SIGKILL) //nolint:errcheck // nobody is left to read it

	select {}
}

// Hang stops the calling goroutine for ever, when this is the point it was told to hang at.
func Hang(name string) {
	if !due(name) {
		return
	}

	fmt.Fprintln(os.Stderr, "fault: hangs at", name)

	select {}
}

// due reports whether this is the point, passed as often as it was told.
func due(name string) bool { return name == enabled && left.Add(-1) < 0 }
