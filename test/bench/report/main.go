// SPDX-License-Identifier: MPL-2.0

// Command report runs all benchmarks, in the test machine and on this machine, and writes docs/performance.md and
// docs/performance.json.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"golang.org/x/tools/benchmark/parse"

	"github.com/spegel-guard/spegel-guard/test/bench/result"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

// findings has all results.
type findings struct {
	When    time.Time
	Machine machine
	// Here is the calibration on this machine, without the emulation.
	Here result.Calibration
	result.Guest
	// Native has the usage on this machine, NativeWhen and NativeMachine when and where it was measured.
	Native        []result.Phase
	NativeWhen    time.Time
	NativeMachine machine
	// Reaction has the times from the sample that completes a breach until a ceiling is written to a cgroup in memory, Binary the
	// size of the guard's program in bytes. Both are measured with Native.
	Reaction []reaction
	Binary   int64
	// Benchmarks are Go benchmarks on this machine.
	Benchmarks []benchmark
	// FanOut has the lines that the tests with thousands of guards print.
	FanOut []string
	// Day is the memory during days of ticks.
	Day day
}

type benchmark struct {
	Name                   string
	Nanoseconds            float64
	BytesPerOp, AllocPerOp uint64
}

func run() error {
	exporter := flag.String("node-exporter", "", "path of prometheus-node-exporter")
	out := flag.String("out", "docs", "folder for the reports")
	from := flag.String("from", "", "write the report from a JSON file of results, without a measurement")
	native := flag.Bool("native", false, "with -from: measure again what needs no test machine")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	var (
		found findings
		err   error
	)

	if *from != "" {
		text, err := os.ReadFile(*from)
		if err != nil {
			return fmt.Errorf("failed to read earlier results: %w", err)
		}

		if err := json.Unmarshal(text, &found); err != nil {
			return fmt.Errorf("failed to parse %s: %w", *from, err)
		}

		if *native {
			if err := found.measureHere(ctx, *exporter); err != nil {
				return err
			}
		}
	} else if found, err = measure(ctx, *exporter); err != nil {
		return err
	}

	text, err := json.MarshalIndent(found, "", "  ")
	if err != nil {
		return fmt.Errorf("failed to write the results: %w", err)
	}

	return errors.Join(
		os.WriteFile(filepath.Join(*out, "performance.json"), append(text, '\n'), 0o644),
		os.WriteFile(filepath.Join(*out, "performance.md"), []byte(found.markdown()), 0o644),
	)
}

func measure(ctx context.Context, exporter string) (findings, error) {
	dir, err := os.MkdirTemp("", "spegel-guard-bench-")
	if err != nil {
		return findings{}, err
	}

	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder

	found := findings{When: time.Now().UTC().Truncate(time.Second)}

	if found.Machine, err = thisMachine(ctx); err != nil {
		return found, err
	}

	if found.Guest, err = inGuest(ctx, dir, exporter); err != nil {
		return found, err
	}

	// The calibration without the emulation.
	here, err := results(ctx, os.Stdout, "go", "run", "./test/bench", "-only", "calibrate")
	if err != nil {
		return found, err
	}

	found.Here = here.Calibration

	return found, found.measureHere(ctx, exporter)
}

// measureHere measures what needs no test machine.
func (f *findings) measureHere(ctx context.Context, exporter string) error {
	if err := f.measureNative(ctx, exporter); err != nil {
		return err
	}

	var err error

	if f.Benchmarks, err = benchmarks(ctx); err != nil {
		return err
	}

	if f.FanOut, err = fanOut(ctx); err != nil {
		return err
	}

	f.Day, err = aDay(ctx)

	return err
}

// inGuest builds the other watchers and runs the benchmarks in the test machine.
func inGuest(ctx context.Context, dir, exporter string) (result.Guest, error) {
	args := []string{"run", "./test/vm/cmd/vmrun", "exec", "-timeout", "45m", "-tool", "node-exporter=" + exporter}

	for _, peer := range []string{"stat", "cadvisor"} {
		binary, err := buildPeer(ctx, dir, peer)
		if err != nil {
			return result.Guest{}, err
		}

		args = append(args, "-tool", "peer-"+peer+"="+binary)
	}

	return results(ctx, os.Stdout, "go", append(args, "./test/bench")...)
}

// results runs a program, prints its output, and returns the results in it.
func results(ctx context.Context, show io.Writer, name string, args ...string) (result.Guest, error) {
	var found result.Guest

	output, err := output(ctx, show, name, args...)
	if err != nil {
		return found, err
	}

	scanner := bufio.NewScanner(bytes.NewReader(output))
	scanner.Buffer(nil, 1<<20)

	for scanner.Scan() {
		if text, ok := strings.CutPrefix(scanner.Text(), result.Mark); ok {
			err := json.Unmarshal([]byte(text), &found)

			return found, err
		}
	}

	return found, fmt.Errorf("the output of %s has no results", name)
}

// output runs a program, prints its output and returns it.
func output(ctx context.Context, show io.Writer, name string, args ...string) ([]byte, error) {
	var kept bytes.Buffer

	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(show, &kept), os.Stderr

	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("failed to run %s %v: %w", name, args, err)
	}

	return kept.Bytes(), nil
}

func benchmarks(ctx context.Context) ([]benchmark, error) {
	text, err := output(ctx, os.Stdout, "go", "test", "-run", "^$", "-bench", ".", "-benchmem", "./pkg/...", "./service/...")
	if err != nil {
		return nil, err
	}

	set, err := parse.ParseSet(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("failed to parse the benchmarks: %w", err)
	}

	var found []benchmark

	for _, runs := range set {
		for _, b := range runs {
			found = append(found, benchmark{Name: b.Name, Nanoseconds: b.NsPerOp, BytesPerOp: b.AllocedBytesPerOp, AllocPerOp: b.AllocsPerOp})
		}
	}

	return found, nil
}

var fanOutLine = regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: (.*(?:bare calls|given up).*)$`)

func fanOut(ctx context.Context) ([]string, error) {
	text, err := output(ctx, os.Stdout, "env", "SPEGEL_GUARD_FANOUT=1000", "SPEGEL_GUARD_FLEET=10000",
		"go", "test", "-count=1", "-v", "-timeout", "10m", "-run", "Thousand", "./cmd/spegelguardctl")
	if err != nil {
		return nil, err
	}

	var lines []string

	for _, match := range fanOutLine.FindAllStringSubmatch(string(text), -1) {
		lines = append(lines, match[1])
	}

	return lines, nil
}
