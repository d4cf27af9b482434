// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/spegel-guard/spegel-guard/test/bench/result"
	"github.com/spegel-guard/spegel-guard/test/node"
)

const (
	// watchedFor is a multiple of every interval of the guard except the longest.
	watchedFor = 60 * time.Second
	tick       = time.Second
)

// count runs the guard with the default configuration and an idle target, and counts its system calls per tick.
func count(ctx context.Context, n *node.Node, found *result.Guest) error {
	fmt.Println("Counting the guard's system calls ...")

	pods, err := runPods(ctx, n, 1)
	if err != nil {
		return err
	}

	defer removePods(pods)

	guard, err := startGuard(ctx, n, "interval: "+tick.String()+"\n")
	if err != nil {
		return err
	}

	const table = "/tmp/strace"

	strace := exec.CommandContext(ctx, "strace", "-f", "-c", "-U", "calls,errors,name", "-S", "calls", "-o", table, "-p", strconv.Itoa(guard.PID()))
	strace.Stderr = nil

	if err := strace.Start(); err != nil {
		return fmt.Errorf("failed to start strace: %w", err)
	}

	time.Sleep(watchedFor)

	// On an interrupt it detaches from the guard and writes its table.
	if err := strace.Process.Signal(os.Interrupt); err != nil {
		return err
	}

	strace.Wait() //nolint:errcheck // the signal ends it

	data, err := os.ReadFile(table)
	if err != nil {
		return err
	}

	fmt.Printf("%s\n", data)

	total := regexp.MustCompile(`(?m)^\s*(\d+)\s.*total$`).FindSubmatch(data)
	if total == nil {
		return fmt.Errorf("the table of strace has no total:\n%s", data)
	}

	calls, err := strconv.ParseFloat(string(total[1]), 64)
	if err != nil {
		return err
	}

	found.CallsPerTick = calls / (watchedFor.Seconds() / tick.Seconds())

	fmt.Printf("system calls per tick of %s: %.1f, including discovery, the node, /metrics and Go's runtime\n",
		tick, found.CallsPerTick)

	_, _, err = guard.Stop(ctx)

	return err
}
